/**
 * A hundred users who come at once, none of whom has an instance: through one gateway, and through two. Each user sends
 * two requests at the same moment; with two gateways, one through each. API server, kubelet and Pods are real; operator
 * and gateways run from the bundle as processes of this machine. It counts the API calls until nothing more is written,
 * and those of the warm requests that follow. Fails if a request is not answered.
 * Run: npm run bench:users [-- users, default 100] [--gateways 2: only through so many] [--check: fail if a figure is
 * over its budget] [--json]
 */
import { createHash, randomBytes } from "node:crypto"
import { loadavg } from "node:os"
import { setTimeout as sleep } from "node:timers/promises"
import { parseArgs } from "node:util"
import { ensureImages, images } from "../test/kubernetes/support/images.ts"
import { toolText } from "../test/support/modern.ts"
import { auditedCalls, type Calls, callsIn, listed, type Span, writesIn } from "./audited-calls.ts"
import { machine, type Row, report } from "./figures.ts"
import { type BenchCluster, type Place, preparePlace, requireCluster, versionOf } from "./place.ts"
import { freePort } from "./ports.ts"
import { until, withRole } from "./role-process.ts"

/** Warm requests of each user. */
const warmRequests = 6
const budgets = { operatorWrites: 8, gatewayWrites: 6, warmCalls: 0 }

type User = { readonly name: string; readonly token: string }

const note = (text: string): void => console.error(`${new Date().toISOString().slice(11, 19)} ${text}`)

const target = {
  apiVersion: "mcp.reflow.io/v1alpha1",
  kind: "MCPTarget",
  metadata: { name: "dual" },
  spec: {
    image: images.dual.name,
    port: 8080,
    isolationBoundary: "per_user",
    statefulness: "stateless",
    // a hundred Pods must fit on one small node
    resources: { requests: { cpu: "5m", memory: "32Mi" }, limits: { cpu: "1", memory: "192Mi" } },
  },
}

const settingsOf = (users: readonly User[]) => ({
  // a slow start is no fault here
  "log.level": "error",
  // far from the limit: near it, gateways record use every 30 s
  "kubernetes.max_instances": users.length * 4,
  // two cores need minutes for a hundred Pods: a request waits, instead of being told to come again
  "kubernetes.hold_timeout": "5m",
  "auth.tokens": JSON.stringify(
    users.map(({ name, token }) => ({
      name,
      subject: name,
      sha256: createHash("sha256").update(token).digest("hex"),
    })),
  ),
})

/** Starts gateways one inside the other; calls `use` with their URLs when all serve. */
const withGateways = async (
  place: Place,
  set: Readonly<Record<string, string | number>>,
  count: number,
  signal: AbortSignal,
  use: (urls: readonly string[]) => Promise<readonly Row[]>,
  urls: readonly string[] = [],
): Promise<readonly Row[]> => {
  if (urls.length === count) return use(urls)
  const port = await freePort()
  const settings = {
    role: "gateway",
    kubeconfig: place.kubeconfigs.gateway,
    namespace: place.namespace,
    set: { ...set, "gateway.listen": `127.0.0.1:${port}` },
  } as const
  const url = `http://127.0.0.1:${port}/mcp/dual`
  return withRole(settings, signal, () => withGateways(place, set, count, signal, use, [...urls, url]))
}

type Counts = Readonly<Record<"operator" | "gateway", Calls>>

const countsOf = async (place: Place, span: Span): Promise<Counts> => {
  const of = (role: keyof Counts) => auditedCalls({ ...place, user: place.user(role) }, span)
  return { operator: await of("operator"), gateway: await of("gateway") }
}

/** Resolves with the calls since `from` when no role has written anything for 12 s. */
const untilQuiet = async (place: Place, from: number, signal: AbortSignal): Promise<Counts> => {
  let [last, since] = [-1, Date.now()]
  let counts = await countsOf(place, { from })
  const quiet = async (): Promise<boolean> => {
    counts = await countsOf(place, { from })
    const now = writesIn(counts.operator) + writesIn(counts.gateway)
    if (now !== last) [last, since] = [now, Date.now()]
    return Date.now() - since >= 12_000
  }
  await until(quiet, { ms: 180_000, what: "no more writes", signal })
  return counts
}

/** Sends a request and checks that the user's own Pod has answered; resolves with the Pod's name. */
const ask = async (url: string, { token }: User): Promise<string> => {
  const said = await toolText(url, token, "env", { names: ["HOSTNAME"] })
  const { values } = JSON.parse(said) as { readonly values?: { readonly HOSTNAME?: string } }
  return values?.HOSTNAME ?? ""
}

type Crowd = { readonly urls: readonly string[]; readonly users: readonly User[] }

/** The two URLs of a user's requests: both gateways, or twice the only one. */
const bothOf = (urls: readonly string[]): readonly string[] =>
  [0, 1].flatMap((index) => urls[index % urls.length] ?? [])

/** All users at once, each with two requests. Throws if two users reach one Pod, or one user two. */
const comeCold = async ({ urls, users }: Crowd): Promise<void> => {
  const pods = await Promise.all(
    users.map(async (user) => new Set(await Promise.all(bothOf(urls).map((url) => ask(url, user))))),
  )
  const all = new Set(pods.flatMap((names) => [...names]))
  if (all.size !== users.length || pods.some(({ size }) => size !== 1))
    throw new Error(`${users.length} users were served by ${all.size} Pods`)
}

const comeWarm = async ({ urls, users }: Crowd): Promise<void> => {
  for (let turn = 0; turn < warmRequests; turn++) {
    const url = urls[turn % urls.length] ?? ""
    await Promise.all(users.map((user) => ask(url, user)))
  }
}

const measure = async (place: Place, crowd: Crowd, signal: AbortSignal): Promise<readonly Row[]> => {
  const count = crowd.users.length
  const begun = Date.now()
  await comeCold(crowd)
  const answered = Date.now()
  note(`${count} users are answered through ${crowd.urls.length} gateway(s)`)
  const cold = await untilQuiet(place, begun, signal)
  const warmBegun = Date.now()
  await comeWarm(crowd)
  // the audit log is written in the background
  await sleep(5_000, undefined, { signal })
  const warm = await countsOf(place, { from: warmBegun, exactly: true })
  const which = crowd.urls.length === 1 ? "one gateway" : `${crowd.urls.length} gateways`
  const each = (what: string, calls: Calls, budget: number): Row => ({
    what: `${which}: ${what}`,
    value: writesIn(calls) / count,
    unit: "",
    digits: 2,
    budget,
  })
  return [
    { what: `${which}: cold requests that were answered`, text: `${2 * count} of ${2 * count}` },
    { what: `${which}: until the last answer`, value: (answered - begun) / 1_000, unit: "s", digits: 1 },
    each("operator: writes per instance, Events and refused ones among them", cold.operator, budgets.operatorWrites),
    each("gateway: writes per instance, refused ones among them", cold.gateway, budgets.gatewayWrites),
    { what: `${which}: operator: calls`, text: listed(cold.operator) },
    { what: `${which}: gateway: calls`, text: listed(cold.gateway) },
    {
      what: `${which}: API calls of all roles per warm request`,
      value: (callsIn(warm.operator) + callsIn(warm.gateway)) / (count * warmRequests),
      unit: "",
      digits: 3,
      budget: budgets.warmCalls,
    },
  ]
}

const runWith = async (
  found: BenchCluster,
  count: number,
  gateways: number,
  signal: AbortSignal,
): Promise<readonly Row[]> => {
  const place = await preparePlace(found, "users")
  try {
    await place.kubectl(["apply", "-n", place.namespace, "-f", "-"], JSON.stringify(target))
    const users = Array.from({ length: count }, (_, index) => ({
      name: `user-${index}`,
      token: randomBytes(24).toString("base64url"),
    }))
    const set = settingsOf(users)
    const { namespace, kubeconfigs } = place
    const operator = { role: "operator", kubeconfig: kubeconfigs.operator, namespace, set } as const
    return await withRole(operator, signal, () =>
      withGateways(place, set, gateways, signal, (urls) => measure(place, { urls, users }, signal)),
    )
  } finally {
    note("cleaning up")
    await place.close()
  }
}

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    check: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    gateways: { type: "string" },
  },
})
const count = Number(positionals[0] ?? 100)
const loadBefore = loadavg()
const interrupted = new AbortController()
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interrupted.abort())
const found = await requireCluster()
await ensureImages(["dual"], found)
const rows: Row[] = []
const numbers = flags.gateways === undefined ? [1, 2] : [Number(flags.gateways)]
for (const gateways of numbers) rows.push(...(await runWith(found, count, gateways, interrupted.signal)))
report(rows, { title: `${count} users at once`, machine: machine(await versionOf(found), loadBefore), ...flags })
