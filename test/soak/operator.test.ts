import { createHash, randomBytes } from "node:crypto"
import { mkdir, writeFile } from "node:fs/promises"
import { resolve } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { expect, test } from "vitest"
import type { KubeCluster } from "../../src/adapters/kube/cluster.ts"
import type { Kind, KubeObject } from "../../src/api/kinds/kind.ts"
import { secretKind, serviceKind } from "../../src/api/kinds/kubernetes.ts"
import { mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { podKind } from "../../src/api/kinds/pod.ts"
import { cluster, kubectl, openCluster } from "../kubernetes/support/cluster.ts"
import { ensureImages } from "../kubernetes/support/images.ts"
import { type Installation, makeInstallation, type RoleProcess, startRole } from "../kubernetes/support/role.ts"
import { countWrites } from "../kubernetes/support/writes.ts"
import { readUsage } from "../support/process-usage.ts"
import { growth, rowsOf, type Sample, type Soak, toTable } from "./figures.ts"
import { startLives } from "./operator-lives.ts"
import { plan } from "./plan.ts"
import { live, type Outcome } from "./user.ts"

const root = resolve(import.meta.dirname, "../..")
/** The program as it is shipped: from its sources it holds 70 MiB more. */
const launch = [process.execPath, resolve(root, "dist/reflow.mjs")] as const
const sampleMs = 5_000
/** Users that stay while the others have gone: what is there must be theirs alone. */
const lastUsers = 3

const tokens = Array.from({ length: plan.users }, () => randomBytes(24).toString("base64url"))
const staticTokens = tokens.map((token, index) => ({
  name: `user-${index}`,
  subject: `user-${index}`,
  sha256: createHash("sha256").update(token).digest("hex"),
}))

const target = {
  apiVersion: "mcp.reflow.io/v1alpha1",
  kind: "MCPTarget",
  metadata: { name: "dual" },
  spec: {
    image: "ghcr.io/reflow/example-dual:1.0.0",
    port: 8080,
    isolationBoundary: "per_user",
    statefulness: "stateless",
    resources: { requests: { cpu: "5m", memory: "32Mi" }, limits: { cpu: "1", memory: "192Mi" } },
  },
}

const settings = {
  "kubernetes.idle_ttl": `${plan.idleTTL}s`,
  "kubernetes.max_instances": String(plan.places),
  "kubernetes.hold_timeout": `${plan.hold}s`,
  "auth.tokens": JSON.stringify(staticTokens),
}

const countOf = async <T extends KubeObject>(client: KubeCluster, kind: Kind<T>, namespace: string): Promise<number> =>
  (await client.list(kind, { namespace })).items.length

/** How many instances, Pods, Services and Secrets there are. */
const census = async (client: KubeCluster, namespace: string): Promise<readonly number[]> =>
  await Promise.all([
    countOf(client, mcpInstanceKind, namespace),
    countOf(client, podKind, namespace),
    countOf(client, serviceKind, namespace),
    countOf(client, secretKind, namespace),
  ])

/** Follows what comes and goes: how many instances were made, and the most Pods at once, terminating ones included. */
const follow = async (client: KubeCluster, namespace: string) => {
  const made = new Set<string>()
  let mostPods = 0
  const instances = client.watch(mcpInstanceKind, { namespace })
  const pods = client.watch(podKind, { namespace })
  await Promise.all([instances.synced, pods.synced])
  instances.subscribe(({ object }) => made.add(object.metadata.uid ?? ""))
  pods.subscribe(() => {
    mostPods = Math.max(mostPods, pods.size)
  })
  return { made: () => made.size, mostPods: () => mostPods }
}

/** Samples the gateway until the returned function is called. */
const startSampling = (gateway: RoleProcess): (() => Promise<readonly Sample[]>) => {
  const samples: Sample[] = []
  const begun = performance.now()
  const ending = new AbortController()
  const run = async (): Promise<void> => {
    while (!ending.signal.aborted) {
      const usage = await readUsage(gateway.process.pid ?? 0)
      const seconds = (performance.now() - begun) / 1000
      samples.push({ ...usage, seconds, gatewayWrites: await countWrites(gateway) })
      await sleep(sampleMs, undefined, { signal: ending.signal }).catch(() => {})
    }
  }
  const running = run()
  running.catch(() => {})
  return async () => {
    ending.abort()
    await running
    return samples
  }
}

const prepare = async (): Promise<Installation> => {
  await ensureImages(["dual"], cluster)
  const place = await makeInstallation("soak")
  await kubectl(["apply", "-n", place.instances, "-f", "-"], { input: JSON.stringify(target) })
  return place
}

/** What the users' requests came to, for all of them. */
type Traffic = { readonly url: string; readonly outcomes: Outcome[]; readonly mixedUp: string[] }

/** Starts the users with these tokens; the returned function lets them end what they are doing. */
const startUsers = ({ url, outcomes, mixedUp }: Traffic, of: readonly string[], stays = false) => {
  const ending = new AbortController()
  const owners = new Map<string, number>()
  const servedBy = (index: number, pod: string): void => {
    const owner = owners.get(pod) ?? index
    owners.set(pod, owner)
    if (owner !== index) mixedUp.push(`user ${index} was served by ${pod} of user ${owner}`)
  }
  const tell = (outcome: Outcome): void => {
    outcomes.push(outcome)
    // at once: whoever watches may look at what is there now
    if (outcome.failure !== undefined) console.warn(new Date().toISOString(), outcome.failure)
  }
  const users = of.map((token, index) => live({ index, url, token, tell, servedBy, stays, signal: ending.signal }))
  return async (): Promise<void> => {
    ending.abort()
    await Promise.all(users)
  }
}

/** Waits until there is as much of everything as there are instances wanted. */
const settle = (client: KubeCluster, namespace: string, count: number): Promise<void> =>
  expect
    .poll(() => census(client, namespace), {
      timeout: (1.25 * plan.idleTTL + 90) * 1000,
      interval: 1_000,
      message: "instances, Pods, Services and Secrets",
    })
    .toEqual([count, count, count, count])

/** Prints the figures, and keeps them in dist/soak.md. */
const writeDown = async (soak: Soak): Promise<void> => {
  const table = toTable(rowsOf(soak))
  console.log(`\nsoak of ${plan.minutes} minutes with ${plan.users} users and ${plan.places} places\n\n${table}\n`)
  await mkdir(resolve(root, "dist"), { recursive: true })
  await writeFile(resolve(root, "dist/soak.md"), `${table}\n`)
}

/** What the gateway logged of the requests that failed. */
const aboutFailures = (gateway: RoleProcess, outcomes: readonly Outcome[]): readonly string[] => {
  const ids = outcomes.flatMap(({ failure }) => /\(request ([\w-]+)\)$/.exec(failure ?? "")?.[1] ?? [])
  return gateway.lines.filter(({ request_id }) => ids.includes(String(request_id))).map((line) => JSON.stringify(line))
}

const judge = ({ outcomes, samples, gateway, lives, made, mostPods }: Soak): void => {
  expect(outcomes.filter(({ kind }) => kind === "failed").map(({ failure }) => failure)).toEqual([])
  expect(outcomes.filter(({ kind }) => kind === "held").length).toBeLessThanOrEqual(0.01 * outcomes.length)
  expect(made).toBeGreaterThan(plan.users)
  expect(mostPods).toBeLessThanOrEqual(plan.places)
  expect(lives.length).toBeGreaterThanOrEqual(Math.floor((plan.minutes * 60) / (plan.operatorLife + 15)))
  // sockets and descriptors: what was opened is closed
  expect(gateway.after.descriptors).toBeLessThanOrEqual(gateway.before.descriptors + 8)
  const descriptors = lives.map((life) => life.descriptors)
  expect(Math.max(...descriptors) - Math.min(...descriptors)).toBeLessThanOrEqual(12)
  // memory: flat once it is warm
  expect(growth(samples.map(({ residentMiB }) => residentMiB))).toBeLessThan(32)
  expect(growth(lives.map(({ residentMiB }) => residentMiB))).toBeLessThan(32)
  // writes: a start, a drain and an end each, and what a takeover finds half done; use is recorded in steps
  expect(lives.reduce((sum, { writes }) => sum + writes, 0)).toBeLessThan(20 * made)
  // besides: that it lives, every 10 s; and near the limit the use of each instance, every 30 s
  const steadily = (6 + 2 * plan.places) * (plan.minutes + 2)
  expect(samples.at(-1)?.gatewayWrites).toBeLessThan(0.6 * outcomes.length + 8 * made + steadily)
}

test("users come and go while the operator is killed again and again: nothing leaks, and every request is answered", {
  timeout: plan.minutes * 60_000 + 900_000,
}, async () => {
  const place = await prepare()
  const namespace = place.instances
  const client = openCluster("soak")
  const seen = await follow(client, namespace)
  const start = async (role: "gateway" | "operator") => {
    const kubeconfig = await place.kubeconfig(role)
    return () => startRole(role, { kubeconfig, namespace, set: settings, launch })
  }
  const gateway = (await start("gateway"))()
  const { url } = await gateway.line("serving")
  const operators = await startLives(await start("operator"), plan.operatorLife)
  const usage = () => readUsage(gateway.process.pid ?? 0)
  const before = await usage()

  const traffic = { url: `${url}/mcp/dual`, outcomes: [] as Outcome[], mixedUp: [] as string[] }
  const stopSampling = startSampling(gateway)
  const stopUsers = startUsers(traffic, tokens)
  await sleep(plan.minutes * 60_000)
  await operators.stop()
  await stopUsers()
  const samples = await stopSampling()

  // what is there is wanted, and what is wanted is there
  const stopLast = startUsers(traffic, tokens.slice(0, lastUsers), true)
  await settle(client, namespace, lastUsers)
  await stopLast()
  await settle(client, namespace, 0)
  // connections are kept for a moment
  await sleep(10_000)
  const { outcomes, mixedUp } = traffic
  const soak = {
    outcomes,
    samples,
    gateway: { before, after: await usage() },
    lives: operators.lives,
    made: seen.made(),
    mostPods: seen.mostPods(),
  }
  await writeDown(soak)
  for (const line of aboutFailures(gateway, outcomes)) console.warn(line)
  expect(mixedUp).toEqual([])
  judge(soak)
})
