import type { ServerResponse } from "node:http"
import { afterEach, expect, test } from "vitest"
import { createKubeCluster, type KubeCluster } from "../../../../src/adapters/kube/cluster.ts"
import { systemClock } from "../../../../src/adapters/system/clock.ts"
import { type MCPTarget, mcpTargetKind } from "../../../../src/api/kinds/mcp-target.ts"
import type { InvalidObject, Reflection } from "../../../../src/ports/cluster.ts"
import { targetOf } from "../../../support/contracts/objects.ts"
import { quietTelemetry } from "../../../support/quiet-telemetry.ts"
import { answer, refuse, type Script, type ScriptedApi, scriptedApi } from "../../../support/scripted-api.ts"

const open: { api: ScriptedApi; cluster: KubeCluster }[] = []
afterEach(async () => {
  for (const { api, cluster } of open.splice(0)) {
    await cluster.close()
    await api.close()
  }
})

/** A target as an API server would send it. */
const sent = (name: string, version: number, spec = {}): MCPTarget =>
  targetOf({ namespace: "reflow", name, uid: `uid-${name}`, resourceVersion: String(version) }, spec)

const frame = (type: string, object: unknown): string => `${JSON.stringify({ type, object })}\n`

/** An API server whose lists give `items`, and whose watches are told to the test or answer by `onWatch`. */
const world = async (items: () => readonly MCPTarget[], onWatch?: Script) => {
  const api = await scriptedApi()
  const telemetry = quietTelemetry()
  const watches: ServerResponse[] = []
  api.play((seen, response) => {
    if (seen.url.searchParams.get("watch") !== "true")
      return answer(200, { metadata: { resourceVersion: "100" }, items: items() })(seen, response)
    if (onWatch !== undefined) return onWatch(seen, response)
    response.writeHead(200, { "content-type": "application/json" }).flushHeaders()
    watches.push(response)
  })
  const cluster = createKubeCluster({
    kubeconfig: api.kubeconfig,
    fieldManager: "tester",
    clock: systemClock,
    telemetry,
  })
  open.push({ api, cluster })
  const invalid: InvalidObject[] = []
  const reflection = cluster.watch(mcpTargetKind, { namespace: "reflow" }, { onInvalid: (each) => invalid.push(each) })
  const told: string[] = []
  reflection.subscribe(({ type, object }) => told.push(`${type} ${object.metadata.name}`))
  await reflection.synced
  const queries = (isWatch: boolean) =>
    api.requests.map(({ url }) => url.searchParams).filter((each) => each.has("watch") === isWatch)
  return { api, watches, reflection, told, invalid, lines: telemetry.lines, queries }
}

const names = (reflection: Reflection<MCPTarget>): string[] =>
  [...reflection.items()].map(({ metadata }) => metadata.name).sort()

test("a watch starts at the list's version, asks for bookmarks, and lets the server end it", async () => {
  const { queries, watches } = await world(() => [])
  await expect.poll(() => watches.length).toBe(1)
  expect(Object.fromEntries(queries(true)[0] ?? [])).toEqual({
    watch: "true",
    allowWatchBookmarks: "true",
    timeoutSeconds: "290",
    resourceVersion: "100",
  })
  expect(queries(false)[0]?.get("limit")).toBe("500")
})

test("frames are taken from chunks that split lines and characters anywhere", async () => {
  const { watches, told } = await world(() => [])
  await expect.poll(() => watches.length).toBe(1)
  const bytes = Buffer.from(
    `${frame("ADDED", sent("a", 101, { description: "größer 🚀" }))}\n${frame("ADDED", sent("b", 102))}`,
  )
  for (let at = 0; at < bytes.length; at += 7) {
    watches[0]?.write(bytes.subarray(at, at + 7))
    await new Promise((resolve) => setImmediate(resolve))
  }
  await expect.poll(() => told).toEqual(["added a", "added b"])
})

test("a watch that breaks goes on from its last version, without a list, and an unfinished frame is not taken", async () => {
  const { watches, told, queries, lines } = await world(() => [])
  await expect.poll(() => watches.length).toBe(1)
  watches[0]?.write(frame("ADDED", sent("a", 101)) + frame("ADDED", sent("b", 102)).slice(0, -5))
  await expect.poll(() => told).toEqual(["added a"])
  watches[0]?.socket?.resetAndDestroy()
  await expect.poll(() => watches.length).toBe(2)
  expect(queries(true)[1]?.get("resourceVersion")).toBe("101")
  expect(queries(false)).toHaveLength(1)
  expect(lines.filter(({ level }) => level === "warn" || level === "error")).toEqual([])
})

test.each([
  ["answers 410", refuse(410, "Expired")],
  ["sends what is no JSON", (_: unknown, response: ServerResponse) => void response.end("garbage\n")],
  [
    "sends an ERROR frame",
    (_: unknown, response: ServerResponse) => void response.end(frame("ERROR", { kind: "Status", code: 410 })),
  ],
])("a watch that %s leads to a new list", async (_, script: Script) => {
  let broken = false
  let items = [sent("a", 1)]
  const { told, reflection, queries } = await world(
    () => items,
    (seen, response) => {
      if (broken) return void response.writeHead(200).flushHeaders()
      broken = true
      items = [sent("b", 2)]
      script(seen, response)
    },
  )
  await expect.poll(() => names(reflection)).toEqual(["b"])
  expect(told.sort()).toEqual(["added a", "added b", "deleted a"])
  expect(queries(false)).toHaveLength(2)
})

test("a watch that is refused with 429 comes back no sooner than the server says", async () => {
  const times: number[] = []
  await world(
    () => [],
    (seen, response) => {
      times.push(performance.now())
      if (times.length === 1) return refuse(429, "TooManyRequests", { "retry-after": "2" })(seen, response)
      response.writeHead(200).flushHeaders()
    },
  )
  await expect.poll(() => times.length, { timeout: 6_000 }).toBe(2)
  expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThanOrEqual(1_990)
})

test("a state that breaks the schema is told and skipped", async () => {
  const { reflection, invalid } = await world(() => [sent("good", 1), sent("bad", 2, { port: 0 })])
  expect(names(reflection)).toEqual(["good"])
  expect(invalid.map(({ object }) => object.metadata.name)).toEqual(["bad"])
})

test("closing ends the watch's connection", async () => {
  const { api, watches, reflection } = await world(() => [])
  await expect.poll(() => watches.length).toBe(1)
  const before = api.connections.open
  await reflection.close()
  await expect.poll(() => api.connections.open).toBe(before - 1)
})
