import { expect, test } from "vitest"
import { findServer } from "../../../../src/gateway/session/find-server.ts"
import type { Placement, PlacementPort } from "../../../../src/placement/port.ts"
import { aRemoteTarget, aTarget } from "../../../support/build/target.ts"
import { fakeClock } from "../../../support/fake-clock.ts"

/** A replica whose cache has another incarnation than the session's, and what the API server says, each time. */
const replica = (target: ReturnType<typeof aTarget>) => {
  const clock = fakeClock()
  const isRemote = target.spec.remote !== undefined
  const placement = {
    instance: "i",
    instanceUID: "uid",
    incarnation: "other",
    url: new URL("http://10.0.0.1/mcp"),
    ...(isRemote ? { remote: {} } : {}),
  } as Placement
  const answers = { current: "another again", count: 0 }
  const port = {
    place: () => placement,
    currentIncarnation: async () => {
      answers.count++
      return answers.current
    },
  } as unknown as PlacementPort
  const find = findServer({ placement: port, reopener: { isOpen: () => false } as never, clock })
  const session = { incarnation: "own", instanceUID: "uid", upstreamId: "s" }
  const input = { target, session, messages: [], mode: "find", signal: new AbortController().signal }
  const code = async () => {
    try {
      await find(input as never)
      return "found"
    } catch (error) {
      return (error as { code: string }).code
    }
  }
  return { clock, answers, code }
}

test("an incarnation of a remote server that is over is asked about again after seconds: its credentials can be set back", async () => {
  const { clock, answers, code } = replica(aRemoteTarget())
  expect(await code()).toBe("SessionNotFound")
  expect(await code()).toBe("SessionNotFound")
  expect(answers.count).toBe(1)
  answers.current = "own"
  await clock.advance(4_999)
  expect(await code()).toBe("SessionNotFound")
  expect(answers.count).toBe(1)
  await clock.advance(1)
  // this replica's cache is still behind
  expect(await code()).toBe("InstanceStarting")
  expect(answers.count).toBe(2)
})

test("one of a Pod that is over is never asked about again, because none comes back", async () => {
  const { clock, answers, code } = replica(aTarget())
  expect(await code()).toBe("SessionNotFound")
  await clock.advance(24 * 60 * 60_000)
  expect(await code()).toBe("SessionNotFound")
  expect(answers.count).toBe(1)
})
