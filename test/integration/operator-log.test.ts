import { afterEach, beforeEach, expect, test } from "vitest"
import { AppError } from "../../src/errors.ts"
import { crashedStatus } from "../support/build/pod.ts"
import { type OperatorWorld, operatorWorld } from "../support/operator-world.ts"

let world: OperatorWorld
beforeEach(() => {
  world = operatorWorld()
})
afterEach(() => world.close())

const minute = 60
/** What whoever is on call reads: level, message and reason of the lines that are not for debugging. */
const told = () =>
  world.lines.filter(({ level }) => level !== "debug").map(({ level, fields }) => `${level} ${fields.reason}`)

test("whoever is on call reads each transition of an instance once, and nothing of the routine between them", async () => {
  await world.start()
  await world.make()
  await world.pass(5)
  await world.pass(40 * minute)
  expect(await world.instance()).toBeUndefined()
  expect(told()).toEqual(["info PodCreated", "info Ready", "info Draining", "info Idle"])
  const [line] = world.lines.filter(({ level }) => level === "info")
  expect(line).toMatchObject({
    message: "an instance changed",
    fields: { component: "operator", instance: "files-user-a", target: "files" },
  })
  expect(line?.fields.note).toMatch(/^Created the Pod /)
  // the routine is there for whoever looks closer
  const routine = world.lines.filter(({ level }) => level === "debug").map(({ message }) => message)
  expect(new Set(routine)).toEqual(new Set(["acted", "wrote the status"]))
})

test("a failure is a warning, once for as long as it is the same, and says what the Event says", async () => {
  world.kubelet.play([{ afterMs: 100, status: () => crashedStatus(1) }])
  await world.start()
  await world.make()
  await world.pass(2 * minute)
  const warnings = world.lines.filter(({ level }) => level === "warn")
  expect(warnings.map(({ fields }) => fields.reason)).toEqual(["CrashLoop"])
  const [event] = (await world.events()).filter(({ type }) => type === "Warning")
  expect(warnings[0]?.fields.note).toBe(event?.message)
})

test("an API server that is away fills no log, whatever the number of instances", async () => {
  let away = false
  await world.start(
    {},
    {
      call: (_, run) => {
        if (away) throw new AppError("ClusterUnavailable", { detail: "away" })
        return run()
      },
    },
  )
  for (let index = 0; index < 10; index++)
    await world.make({ name: `i${index}`, spec: { subjectKey: `user:${index}` } })
  await world.pass(5)
  away = true
  await world.edit({ spec: { image: "ghcr.io/org/files:2" } }, "i3")
  const before = told().length
  await world.pass(5 * minute)
  expect(told().slice(before)).toEqual([])
  expect(world.lines.some(({ message }) => message === "a reconcile failed and is tried again")).toBe(true)
})
