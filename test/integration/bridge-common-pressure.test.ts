import { expect, test, vi } from "vitest"
import { modernRequest, modernText, open, scripted, textOf, unread } from "../support/bridge.ts"
import { type BridgeApart, startApart } from "../support/bridge-apart.ts"
import { legacyCall } from "../support/legacy.ts"
import { eventually } from "../support/processes.ts"

// much work, on machines that may be busy; what is broken fails by other limits
vi.setConfig({ testTimeout: 120_000 })

const mebibyte = 2 ** 20
const shared = { processes: "shared", maxProcesses: 2 } as const

/** Most resident MiB of a bridge whose clients do not read; without a bound it would have some 900. */
const mostResident = 550

/** Sends 40 calls whose answers have 15 MiB, and reads none of them; the system itself takes some MiB of each. */
const readNothing = async (bridge: BridgeApart, session: string, message: (id: number) => unknown) => {
  for (let id = 1; id <= 40; id++) {
    // of a broken connection there is no head, or only the head
    await unread(bridge, "POST", session, message(id)).catch(() => undefined)
  }
}

test("clients of a shared process that read no answer cost a bounded amount of memory, and nobody else waits", async () => {
  const bridge = await startApart(scripted(), shared)
  const [slow, other] = [await open(bridge), await open(bridge)]
  await readNothing(bridge, slow.id, (id) => legacyCall("big", { bytes: 15 * mebibyte }, id))
  await bridge.collected()
  expect((await bridge.usage()).residentMiB).toBeLessThan(mostResident)
  expect(await textOf(other, "echo", { words: "fine" })).toBe("fine")
})

test("clients of the modern era that read no answer cost a bounded amount of memory", async () => {
  const bridge = await startApart(scripted(), {})
  await modernText(bridge, "pid")
  const call = (id: number) => modernRequest("tools/call", { name: "big", arguments: { bytes: 15 * mebibyte } }, id)
  await readNothing(bridge, "", call)
  await bridge.collected()
  expect((await bridge.usage()).residentMiB).toBeLessThan(mostResident)
  expect(await modernText(bridge, "echo", { words: "fine" })).toBe("fine")
})

test("a shared server that asks and does not read the refusals gets no more of them", async () => {
  const script = `
    const ask = { jsonrpc: "2.0", id: "x".repeat(60_000), method: "sampling/createMessage" }
    const capabilities = {}
    process.stdin.once("data", async (line) => {
      const { id } = JSON.parse(line)
      console.log(JSON.stringify({ jsonrpc: "2.0", id, result: { protocolVersion: "2025-11-25", capabilities } }))
      process.stdin.pause()
      for (let at = 0; at < 2_500; at++)
        if (!process.stdout.write(JSON.stringify(ask) + "\\n"))
          await new Promise((resolve) => process.stdout.once("drain", resolve))
      process.stderr.write("has asked\\n")
    })
    setInterval(() => {}, 1_000)`
  const bridge = await startApart([process.execPath, "-e", script], shared)
  await eventually(() => bridge.log.some((line) => line.includes("has asked")), 60_000, "the server has asked")
  expect(await bridge.collected()).toBeLessThan(64 * mebibyte)
  expect(bridge.log.filter((line) => line.includes("does not read the answers"))).toHaveLength(1)
})

test("what sessions of a shared process keep for clients that come back is bounded for all of them together", async () => {
  const bridge = await startApart(scripted(), shared)
  const before = await bridge.collected()
  for (let at = 0; at < 30; at++) {
    const session = await open(bridge)
    const params = { name: "flood", arguments: { times: 4, bytes: mebibyte }, _meta: { progressToken: at } }
    const answer = await session.post({ jsonrpc: "2.0", id: 1, method: "tools/call", params })
    await answer.text()
  }
  expect((await bridge.collected()) - before).toBeLessThan(40 * mebibyte)
})
