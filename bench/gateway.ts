/**
 * Measures CPU time and latency of a warm tools/call through the gateway, compared with a minimal proxy (Node and
 * undici, the "bare pipe") in the same run.
 * Run: npm run bench [-- --check] [--requests 3000] [--rounds 5]; --check exits with 1 if a budget is exceeded.
 *
 * Server, pipe and gateways run in separate processes. A gateway runs its whole data path over the embedded cluster: a
 * JWT that it has verified before, access, tool policy, routing, sealed sessions, log line and metrics.
 */
import { cpus, loadavg } from "node:os"
import { parseArgs } from "node:util"
import { type Child, startChild } from "./gateway-child.ts"
import { type Load, type Run, run } from "./pool-load.ts"
import { judge, type Series, toTable } from "./verdict.ts"

const call = { jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "echo", arguments: { message: "hello" } } }
const modernCall = {
  ...call,
  params: {
    ...call.params,
    _meta: {
      "io.modelcontextprotocol/protocolVersion": "2026-07-28",
      "io.modelcontextprotocol/clientInfo": { name: "bench", version: "1" },
      "io.modelcontextprotocol/clientCapabilities": {},
    },
  },
}
const modernHeaders = { "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "echo" }

/** Number of connections when CPU time is measured: enough to keep the gateway or the pipe always busy. */
const busyConnections = 8

/** Opens an MCP session; resolves with the headers for its requests. */
const openSession = async ({ url, path, token }: Child): Promise<Record<string, string>> => {
  const opened = await fetch(`${url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
    body: JSON.stringify({ jsonrpc: "2.0", id: 0, method: "initialize", params: {} }),
  })
  await opened.text()
  if (opened.status !== 200) throw new Error(`initialize was answered with ${opened.status}`)
  return { "mcp-session-id": opened.headers.get("mcp-session-id") ?? "", "mcp-protocol-version": "2025-11-25" }
}

/** A load through the gateway, and the same one through the pipe. */
type Pair = {
  readonly what: string
  readonly load: Load
  readonly reference: Load
  /** False for a load that is measured for comparison only. */
  readonly budgeted: boolean
}

const prepare = async (pipe: Child, open: Child, narrow: Child): Promise<readonly Pair[]> => {
  const session = { body: call, headers: await openSession(narrow) }
  const unfiltered = { body: call, headers: await openSession(open) }
  const modern = { body: modernCall, headers: modernHeaders }
  const pair = (what: string, child: Child, sent: Omit<Load, "child">, budgeted: boolean): Pair => ({
    what,
    load: { child, ...sent },
    reference: { child: pipe, ...sent },
    budgeted,
  })
  return [
    pair("session, policy", narrow, session, true),
    pair("modern, policy", narrow, modern, true),
    pair("session, all tools", open, unfiltered, false),
  ]
}

type Both = { readonly figure: Run; readonly reference: Run }

/**
 * One round of a pair. The order alternates between rounds, so that neither always runs second, on a warmer machine.
 */
const alternate = async (pair: Pair, round: number, requests: number, connections: number): Promise<Both> => {
  const figureOf = () => run(pair.load, requests, connections)
  const referenceOf = () => run(pair.reference, requests, connections)
  if (round % 2 === 1) {
    const figure = await figureOf()
    return { figure, reference: await referenceOf() }
  }
  const reference = await referenceOf()
  return { figure: await figureOf(), reference }
}

const seriesOf = (rounds: readonly Both[], of: keyof Run, about: Omit<Series, "rounds">): Series => ({
  ...about,
  rounds: rounds.map(({ figure, reference }) => ({ figure: figure[of], reference: reference[of] })),
})

const measure = async (pairs: readonly Pair[], requests: number, rounds: number): Promise<readonly Series[]> => {
  for (const pair of pairs) await alternate(pair, 0, requests, busyConnections)
  const busy = pairs.map((): Both[] => [])
  const single = pairs.map((): Both[] => [])
  for (let round = 0; round < rounds; round++) {
    for (const [index, pair] of pairs.entries()) {
      busy[index]?.push(await alternate(pair, round, requests, busyConnections))
      single[index]?.push(await alternate(pair, round, Math.ceil(requests / 2), 1))
    }
  }
  return pairs.flatMap(({ what, budgeted }, index) => {
    const limit = (budget: number) => (budgeted ? budget : undefined)
    const [many = [], one = []] = [busy[index], single[index]]
    return [
      seriesOf(many, "cpu", { what: `CPU per call: ${what}`, unit: "µs", budget: limit(1.25) }),
      seriesOf(one, "p50", { what: `p50 at one connection: ${what}`, unit: "ms", budget: limit(1.3) }),
      seriesOf(one, "p99", { what: `p99 at one connection: ${what}`, unit: "ms", budget: limit(1) }),
    ]
  })
}

const load = (): string =>
  loadavg()
    .map((each) => each.toFixed(1))
    .join(" ")

const main = async (): Promise<void> => {
  const { values } = parseArgs({
    options: {
      check: { type: "boolean", default: false },
      requests: { type: "string", default: "3000" },
      rounds: { type: "string", default: "5" },
    },
  })
  const before = load()
  const upstream = await startChild("upstream")
  const roles = ["pipe", "gateway", "gateway-policy"] as const
  const [pipe, open, narrow] = await Promise.all(roles.map((role) => startChild(role, upstream.url)))
  if (pipe === undefined || open === undefined || narrow === undefined) return
  try {
    const pairs = await prepare(pipe, open, narrow)
    const series = await measure(pairs, Number(values.requests), Number(values.rounds))
    console.log(toTable(series))
    console.log(`\nNode ${process.versions.node}, ${cpus().length} cores (${cpus()[0]?.model.trim() ?? "?"})`)
    console.log(`load average (1, 5, 15 min) before: ${before}; after: ${load()}`)
    if (values.check && series.some((each) => judge(each).outcome === "over")) process.exitCode = 1
  } finally {
    for (const child of [pipe, open, narrow, upstream]) child.stop()
  }
}

await main()
