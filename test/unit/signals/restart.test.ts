import { expect, test } from "vitest"
import { asksForRestart, initialRestartTime } from "../../../src/signals/restart.ts"
import { anInstance } from "../../support/build/instance.ts"

const [first, later] = ["2030-01-01T00:00:00Z", "2030-01-01T00:00:01Z"]

test("an instance that is retained never ends by a restart", () => {
  const instance = anInstance({
    metadata: { generation: 2 },
    spec: { restartTime: later, reclaimPolicy: "Retain" },
    status: { initialRestartTime: first },
  })
  expect(asksForRestart(instance)).toBe(false)
})

test.each([
  ["made without one", 1, undefined, undefined, undefined, false],
  ["made without one, asked later", 2, undefined, later, undefined, true],
  ["made with one, not looked at yet", 1, undefined, first, first, false],
  ["made with one, edited elsewhere", 2, first, first, first, false],
  ["made with one, asked later", 2, first, later, first, true],
  ["made with one, taken away later", 2, first, undefined, first, false],
])("an instance that was %s", (_, generation, initial, restartTime, began, asks) => {
  const instance = anInstance({
    metadata: { generation },
    ...(restartTime === undefined ? {} : { spec: { restartTime } }),
    ...(initial === undefined ? {} : { status: { initialRestartTime: initial } }),
  })
  expect(initialRestartTime(instance)).toBe(began)
  expect(asksForRestart(instance)).toBe(asks)
})
