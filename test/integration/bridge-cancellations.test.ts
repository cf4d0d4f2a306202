import { expect, test } from "vitest"
import { bridgeOf, messagesOf, open, scripted, textOf } from "../support/bridge.ts"
import { legacyCall } from "../support/legacy.ts"

const cancelled = (requestId: number | string) => ({
  ...{ jsonrpc: "2.0", method: "notifications/cancelled" },
  params: { requestId },
})

test.for(["per_session", "shared"] as const)(
  "of the calls 1 and '1' only that is cancelled which the client names, with processes %s",
  async (processes) => {
    const bridge = await bridgeOf(scripted(), { processes, silenceMs: 1 })
    const session = await open(bridge)
    const heard = async () =>
      JSON.parse(await textOf(session, "heard")).filter(({ method }: { method: string }) =>
        method.endsWith("cancelled"),
      )
    const streams = [await session.post(legacyCall("never", {}, 1)), await session.post(legacyCall("never", {}, "1"))]
    await session.post(cancelled("1"))
    expect(await messagesOf(streams[1] as Response)).toEqual([])
    // it is over, so the server does not hear it again
    await session.post(cancelled("1"))
    expect(await heard()).toHaveLength(1)
    await session.post(cancelled(1))
    expect(await messagesOf(streams[0] as Response)).toEqual([])
    const [second, first] = (await heard()).map(({ params }: { params: { requestId: string } }) => params.requestId)
    expect(Number(second.split(":")[2]) - Number(first.split(":")[2])).toBe(1)
  },
)

test.for(["per_session", "shared"] as const)(
  "a client cannot cancel the call of another session with the same id, with processes %s",
  async (processes) => {
    const bridge = await bridgeOf(scripted(), { processes, silenceMs: 1 })
    const [one, other] = [await open(bridge), await open(bridge)]
    const waiting = await one.post(legacyCall("never", {}, "x"))
    const heard = async () => JSON.parse(await textOf(one, "heard")).map(({ method }: { method: string }) => method)
    await other.post(cancelled("x"))
    expect(await heard()).toEqual(["notifications/initialized"])
    await one.post(cancelled("x"))
    expect(await messagesOf(waiting)).toEqual([])
    expect(await heard()).toEqual(["notifications/initialized", "notifications/cancelled"])
  },
)
