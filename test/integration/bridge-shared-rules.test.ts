import { expect, test } from "vitest"
import { answerOf, bridgeOf, fixture, messagesOf, modernText, open, scripted, textOf } from "../support/bridge.ts"
import { eventually } from "../support/processes.ts"
import { initialize, post } from "../support/reflow.ts"

const shared = { processes: "shared", maxProcesses: 2 } as const

test("requests that the bridge answers for a shared server take nothing from their session's share of calls", async () => {
  const session = await open(await bridgeOf(scripted(), shared))
  // more than all calls that one process may have open
  const batch = Array.from({ length: 30 }, (_, id) => ({
    ...{ jsonrpc: "2.0", id, method: "logging/setLevel" },
    params: { level: "info" },
  }))
  for (let at = 0; at < 40; at++) expect(await messagesOf(await session.post(batch))).toHaveLength(30)
  expect(await textOf(session, "echo", { words: "served" })).toBe("served")
})

test("calls that a shared server answered take nothing from their session's share either", async () => {
  const session = await open(await bridgeOf(scripted(), shared))
  const batch = Array.from({ length: 100 }, (_, id) => ({ jsonrpc: "2.0", id, method: "ping" }))
  for (let at = 0; at < 12; at++) expect(await messagesOf(await session.post(batch))).toHaveLength(100)
  expect(await textOf(session, "echo", { words: "served" })).toBe("served")
})

test.for([
  ["2025-11-25", "2025-06-18"],
  ["2025-06-18", "2025-06-18"],
  ["2025-03-26", "2025-03-26"],
  ["2024-11-05", "2024-11-05"],
  ["2024-10-07", "2025-06-18"],
] as const)("a client that asks for %s of a server of 2025-06-18 hears %s", async ([asked, heard]) => {
  const { url } = await bridgeOf(fixture("ruled", "legacy", "revision=2025-06-18"), shared)
  const { params, ...others } = initialize()
  const response = await post(url, undefined, { ...others, params: { ...params, protocolVersion: asked } })
  expect((await answerOf(response)).result.protocolVersion).toBe(heard)
})

test("a shared server that is silent to server/discover and ping serves clients of the modern era", async () => {
  const bridge = await bridgeOf(fixture("ruled", "silent"), { ...shared, discoverMs: 50, startMs: 2_000 })
  const session = await open(bridge)
  expect(await modernText(bridge, "pid")).toBe(await textOf(session, "pid"))
  await eventually(() => bridge.count().processes === 1, 5_000, "the process that was asked has ended")
})

test("a server of the legacy era is asked for its era once, however often its process ends", async () => {
  const bridge = await bridgeOf(scripted())
  await modernText(bridge, "pid")
  expect(bridge.pids()).toHaveLength(2)
  for (let at = 3; at <= 4; at++) {
    await expect(modernText(bridge, "die", { code: 1 })).rejects.toThrow("exit code 1")
    await modernText(bridge, "pid")
    expect(bridge.pids()).toHaveLength(at)
  }
})
