/**
 * `npm run bench:bridge`: compares the ways in which the bridge gets into Pods of stdio servers, on a real cluster whose
 * node is this machine. Operator and gateway run from the bundle as processes of this machine, as their ServiceAccounts
 * with the rights of rbac/ only: as Pods they would share the pages of the image with the bridges, whose memory is
 * measured. bench/README.md says what is measured, and how.
 */
import { createHash, randomBytes } from "node:crypto"
import { setTimeout as sleep } from "node:timers/promises"
import { ensureImages } from "../test/kubernetes/support/images.ts"
import { type Delivery, deliveries, orderOf, targetOf } from "./bridge-delivery/deliveries.ts"
import { firstAnswer } from "./bridge-delivery/first-answer.ts"
import { type Flags, help, readFlags } from "./bridge-delivery/flags.ts"
import { openYard, type Yard } from "./bridge-delivery/pods.ts"
import { crowdTable, type Round, type Row, singleTable } from "./bridge-delivery/table.ts"
import { readPodDisk, readPodMemory } from "./bridge-delivery/usage.ts"
import { describeRun, loads } from "./peers/results.ts"
import { type BenchCluster, type Place, preparePlace, requireCluster, versionOf } from "./place.ts"
import { freePort } from "./ports.ts"
import { withRole } from "./role-process.ts"

/** How long Pods rest before their memory is read, milliseconds. */
const restMs = 5_000

/**
 * The pause before a start, milliseconds. The kubelet looks at its containers once a second, and the removal before ends
 * right after such a look: starts without a pause would all begin at the same moment of that second. These are spread
 * evenly over it, by the golden ratio; all deliveries have the same pauses.
 */
const pauseOf = (start: number): number => ((start * 0.618_034) % 1) * 1_000

const note = (text: string): void => console.error(`${new Date().toISOString().slice(11, 19)} ${text}`)

/** What all steps of a run need. */
type Run = {
  readonly found: BenchCluster
  readonly place: Place
  readonly yard: Yard
  /** Origin of the gateway. */
  readonly gateway: string
  /** Tokens of users who have not called yet; each is taken once. */
  readonly users: Iterator<string>
  readonly signal: AbortSignal
}

/** The gateway's setting for tokens, each of a user of its own. */
const tokensOf = (tokens: readonly string[]): string =>
  JSON.stringify(
    tokens.map((token, user) => ({
      name: `user-${user}`,
      subject: `user-${user}`,
      sha256: createHash("sha256").update(token).digest("hex"),
    })),
  )

/** Settings of both roles: no limit of instances, and no wait that ends too early. */
const patient = { "log.level": "error", "kubernetes.max_instances": "1000", "kubernetes.hold_timeout": "5m" }

/** Removes all Pods after `use`, also if it throws: the next measurement has the node for itself. */
const thenClear = async <T>({ yard, signal }: Run, use: () => Promise<T>): Promise<T> => {
  try {
    return await use()
  } finally {
    // an interrupted run removes the whole namespace at once
    if (!signal.aborted) await yard.clear()
  }
}

/** One user's first answer through the gateway, which creates the instance; then the disk of this Pod. */
const measureFirst = (run: Run, delivery: Delivery, start: number) =>
  thenClear(run, async () => {
    const { found, yard, gateway, users, signal } = run
    await sleep(pauseOf(start), undefined, { signal })
    const first = await firstAnswer({
      url: `${gateway}/mcp/${delivery.target}`,
      token: String(users.next().value),
      signal,
    })
    const [uid = ""] = await yard.uids(delivery, 1)
    return { first, disk: await readPodDisk(found.kubectl, uid) }
  })

/** So many Pods at once: how long they take, and the memory that they have a while later. */
const measureCrowd = (run: Run, delivery: Delivery, pods: number, start: number): Promise<Row> =>
  thenClear(run, async () => {
    await sleep(pauseOf(start), undefined, { signal: run.signal })
    const { ready, uids } = await run.yard.create(delivery, pods)
    note(`${delivery.name}: ${pods} Ready, the last after ${Math.max(...ready).toFixed(1)} s`)
    await sleep(restMs, undefined, { signal: run.signal })
    return { ready, memory: uids.map((uid) => readPodMemory(uid, delivery.script, delivery.name !== "none")) }
  })

/** All measurements of a delivery in a round, with an operator that is set so. The first start of it does not count. */
const measureRound = (run: Run, delivery: Delivery, { pods }: Flags, round: number): Promise<Round> => {
  const { place, signal } = run
  const { namespace, kubeconfigs } = place
  const set = { ...patient, ...delivery.set }
  return withRole({ role: "operator", kubeconfig: kubeconfigs.operator, namespace, set }, signal, async () => {
    await measureFirst(run, delivery, 0)
    const single = await measureFirst(run, delivery, round)
    note(`${delivery.name}: first answer after ${single.first.called.toFixed(2)} s`)
    const rows: Row[] = []
    for (const count of pods) rows.push(await measureCrowd(run, delivery, count, round))
    return { delivery: delivery.name, ...single, rows }
  })
}

const measureAll = async (run: Run, flags: Flags): Promise<readonly Round[]> => {
  const rounds: Round[] = []
  for (let round = 0; round < flags.rounds; round++)
    for (const delivery of orderOf(round)) rounds.push(await measureRound(run, delivery, flags, round))
  return rounds
}

/** Makes the targets, starts the gateway, and measures; all ends with it but the namespaces. */
const measureIn = async (place: Place, flags: Flags, found: BenchCluster, signal: AbortSignal) => {
  const { namespace, kubeconfigs, kubectl } = place
  const label = "pod-security.kubernetes.io/enforce=restricted"
  await kubectl(["label", "namespace", namespace, label])
  for (const delivery of deliveries)
    await kubectl(["create", "-n", namespace, "-f", "-"], JSON.stringify(targetOf(delivery)))
  const tokens = Array.from({ length: flags.rounds * deliveries.length * 2 }, () => randomBytes(24).toString("hex"))
  const listen = `127.0.0.1:${await freePort()}`
  const set = { ...patient, "gateway.listen": listen, "auth.tokens": tokensOf(tokens) }
  return withRole({ role: "gateway", kubeconfig: kubeconfigs.gateway, namespace, set }, signal, async () => {
    const yard = await openYard(place, signal)
    const run: Run = { found, place, yard, gateway: `http://${listen}`, users: tokens.values(), signal }
    return measureAll(run, flags).finally(() => yard.close())
  })
}

const compare = async (flags: Flags, signal: AbortSignal): Promise<void> => {
  const found = await requireCluster()
  await ensureImages(["gateway", "stdio", "notes"], found)
  const before = loads()
  signal.throwIfAborted()
  const place = await preparePlace(found, "bridge")
  try {
    const rounds = await measureIn(place, flags, found, signal)
    const names = deliveries.map(({ name }) => name)
    const circumstances = [...describeRun(before, "npm run bench:bridge"), `Kubernetes ${await versionOf(found)}`]
    console.log([crowdTable(rounds, names), singleTable(rounds, names), circumstances.join("\n")].join("\n\n"))
  } finally {
    note("cleaning up")
    await place.close()
  }
}

const main = async (): Promise<void> => {
  let flags: Flags
  try {
    flags = readFlags(process.argv.slice(2))
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${help}`)
    process.exitCode = 2
    return
  }
  if (flags.help) return void process.stdout.write(help)
  const interrupted = new AbortController()
  // npm passes a terminal's Ctrl-C on, so it comes twice; what was made must go all the same
  for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, () => interrupted.abort(new Error("interrupted")))
  try {
    await compare(flags, interrupted.signal)
  } catch (error) {
    note(interrupted.signal.aborted ? "interrupted" : (error as Error).message)
    process.exitCode = interrupted.signal.aborted ? 130 : 1
  }
}

await main()
