import { expect, it } from "vitest"
import { timingsOf } from "../../../src/operator/status.ts"
import { aCondition, anInstance } from "../../support/build/instance.ts"
import { msAfter, stampAfter } from "../../support/build/metadata.ts"
import { aPod, podStatus } from "../../support/build/pod.ts"

const pod = (created: number, scheduled: number, ran: number, answered: number) =>
  aPod({
    metadata: { creationTimestamp: stampAfter(created) },
    status: podStatus(
      { ready: true, state: { running: { startedAt: stampAfter(ran) } } },
      {
        conditions: [
          { type: "PodScheduled", status: "True", lastTransitionTime: stampAfter(scheduled) },
          { type: "Ready", status: "True", lastTransitionTime: stampAfter(answered) },
        ],
      },
    ),
  })
const admitted = aCondition("Admitted", "True", "Admitted", { lastTransitionTime: stampAfter(1) })
const instance = (starts: number) => anInstance({ status: { starts, conditions: [admitted] } })

it("each step of a start takes from the stamp before to its own", () => {
  expect(timingsOf(instance(1), pod(2, 4, 8, 9), msAfter(9.5))).toEqual({
    queue: 1,
    create: 1,
    schedule: 2,
    pull: 4,
    start: 1,
    ready: 0.5,
  })
})

it("while a start goes on, its steps that are over are known", () => {
  const going = aPod({
    metadata: { creationTimestamp: stampAfter(2) },
    status: podStatus(
      { state: { running: { startedAt: stampAfter(8) } } },
      {
        conditions: [
          { type: "PodScheduled", status: "True", lastTransitionTime: stampAfter(4) },
          { type: "Ready", status: "False", lastTransitionTime: stampAfter(4) },
        ],
      },
    ),
  })
  expect(timingsOf(instance(1), going)).toEqual({ queue: 1, create: 1, schedule: 2, pull: 4 })
  expect(timingsOf(instance(1), aPod({ metadata: { creationTimestamp: stampAfter(2) } }))).toEqual({
    queue: 1,
    create: 1,
  })
})

it("a later start did not queue", () => {
  expect(timingsOf(instance(2), pod(100, 101, 102, 103), msAfter(103))).toEqual({
    schedule: 1,
    pull: 1,
    start: 1,
    ready: 0,
  })
})

it("clocks that differ give no negative time", () => {
  expect(Object.values(timingsOf(instance(1), pod(-5, 4, 3, 9), msAfter(0))).every((took) => took >= 0)).toBe(true)
})
