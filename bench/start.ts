/**
 * Measures how long `reflow --role gateway` takes from its start until /readyz answers 200 (its caches are filled and it
 * serves), against a real API server, with the rights of rbac/ only: as bundle and as single executable, in turns.
 * Run: npm run bench:start [-- --help]
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { get } from "node:http"
import { cpus, loadavg, tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { parseArgs } from "node:util"
import { actorName } from "../src/adapters/kube/rbac.ts"
import { spreadOf } from "./cold-start/phases.ts"
import { makePlace, type Place, toRuns } from "./cold-start/place.ts"

const help = `Usage: npm run bench:start [-- FLAGS]

Measures the start of 'reflow --role gateway' against a real API server, until /readyz answers 200.

  --runs N          starts of each form (default 30)
  --check           exit code 1 if a 95th percentile is above its budget
  --json            all times in milliseconds as JSON instead of the table
  --help            this text
`

const dist = resolve(import.meta.dirname, "../dist")

/** The forms of the program: how each is started, and its budget in milliseconds. */
const forms = {
  bundle: { command: [process.execPath, join(dist, "reflow.mjs")], budget: 1_000 },
  executable: { command: [join(dist, "reflow")], budget: 1_500 },
} as const

type Form = keyof typeof forms

/** One start, in milliseconds since the process was started. */
type Times = {
  /** /readyz answered 503 for the first time: the program is loaded, and its listener for health serves. */
  readonly loaded: number
  /** /readyz answered 200. */
  readonly ready: number
}

/** Port on 127.0.0.1 for metrics and health. */
const port = 19_391
const limitMs = 30_000
const pauseMs = 2

/** The status of /readyz; 0 while nothing listens. */
const readiness = (): Promise<number> =>
  new Promise((done) => {
    const asked = get({ host: "127.0.0.1", port, path: "/readyz", agent: false }, (answer) => {
      answer.resume()
      done(answer.statusCode ?? 0)
    })
    asked.on("error", () => done(0))
  })

/** Starts the program once and ends it again. */
const start = async (form: Form, flags: readonly string[]): Promise<Times> => {
  const [command, ...before] = forms[form].command
  const since = performance.now()
  const child = spawn(command, [...before, ...flags], { stdio: ["ignore", "ignore", "inherit"] })
  const exited = once(child, "exit")
  try {
    let loaded: number | undefined
    while (performance.now() - since < limitMs && child.exitCode === null) {
      const status = await readiness()
      if (status !== 0) loaded ??= performance.now() - since
      if (status === 200) return { loaded: loaded ?? 0, ready: performance.now() - since }
      await sleep(pauseMs)
    }
    throw new Error(`the ${form} was not ready within ${limitMs} ms; its exit code: ${child.exitCode}`)
  } finally {
    child.kill("SIGKILL")
    await exited
  }
}

/** Writes a kubeconfig that acts as the gateway's ServiceAccount. */
const writeKubeconfig = async ({ kubectl, own }: Place, folder: string): Promise<string> => {
  const name = actorName("gateway")
  const token = (await kubectl(["create", "token", name, "-n", own, "--duration=1h"])).trim()
  const admin = JSON.parse(await kubectl(["config", "view", "--minify", "--raw", "--flatten", "-o", "json"])) as {
    readonly clusters: readonly object[]
  }
  const config = {
    ...admin,
    clusters: admin.clusters.map((each) => ({ ...each, name: "start" })),
    users: [{ name, user: { token } }],
    contexts: [{ name: "start", context: { cluster: "start", user: name, namespace: own } }],
    "current-context": "start",
  }
  const path = join(folder, "kubeconfig")
  await writeFile(path, JSON.stringify(config), { mode: 0o600 })
  return path
}

const flagsOf = (kubeconfig: string, namespace: string): readonly string[] => {
  const settings = {
    "kubernetes.kubeconfig": kubeconfig,
    "kubernetes.namespace": namespace,
    "gateway.listen": "127.0.0.1:0",
    "metrics.listen": `127.0.0.1:${port}`,
    "log.level": "warn",
  }
  return ["--role", "gateway", ...Object.entries(settings).flatMap(([key, value]) => ["--set", `${key}=${value}`])]
}

/** Starts of both forms, in turns. The first of each does not count: it creates Secrets and fills the page cache. */
const measure = async (place: Place, runs: number): Promise<Readonly<Record<Form, readonly Times[]>>> => {
  const folder = await mkdtemp(join(tmpdir(), "reflow-start-"))
  try {
    const flags = flagsOf(await writeKubeconfig(place, folder), place.instances)
    const times: Record<Form, Times[]> = { bundle: [], executable: [] }
    for (let run = 0; run <= runs; run++)
      for (const form of Object.keys(forms) as Form[]) {
        const took = await start(form, flags)
        if (run > 0) times[form].push(took)
      }
    return times
  } finally {
    await rm(folder, { recursive: true })
  }
}

const main = async (): Promise<void> => {
  const { values } = parseArgs({
    options: {
      runs: { type: "string", default: "30" },
      check: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  })
  if (values.help) return void process.stdout.write(help)
  const runs = toRuns(values.runs)
  const place = await makePlace("start")
  try {
    const load = loadavg().map((each) => each.toFixed(1))
    const times = await measure(place, runs)
    if (values.json) return console.log(JSON.stringify(times))
    console.log("| form | budget | ready: median | 95% | of that, loaded: median |\n|---|---|---|---|---|")
    for (const [form, all] of Object.entries(times) as [Form, readonly Times[]][]) {
      const [ready, loaded] = [spreadOf(all.map((each) => each.ready)), spreadOf(all.map((each) => each.loaded))]
      const { budget } = forms[form]
      const figures = [budget, ready.median, ready.p95, loaded.median].map((ms) => `${ms.toFixed(0)} ms`)
      console.log(`| ${form} | ≤ ${figures.join(" | ")} |`)
      if (values.check && ready.p95 > budget) process.exitCode = 1
    }
    const machine = `${cpus().length} cores (${cpus()[0]?.model.trim()}), Kubernetes ${place.version}, Node ${process.version}`
    console.log(`\n${new Date().toISOString().slice(0, 10)}, ${runs} starts each, ${machine}`)
    console.log(`load average (1, 5, 15 min) before: ${load.join(" ")}`)
  } finally {
    await place.close()
  }
}

await main()
