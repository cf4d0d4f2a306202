/** The operator as a process of its own, and what it costs: memory, CPU time, calls to the API server. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { readFile } from "node:fs/promises"
import { resolve } from "node:path"

/** The built program, as it is installed: started from its sources it holds 70 MiB more. */
const program = resolve(import.meta.dirname, "../dist/reflow.mjs")
/** USER_HZ, in which Linux counts a process' time: 100 on every architecture that Node runs on. */
const ticksPerSecond = 100

/** Which operator to start. */
export type OperatorSettings = {
  readonly kubeconfig: string
  /** Namespace of the instances. */
  readonly namespace: string
  readonly maxInstances: number
  /** Port on 127.0.0.1 for metrics and health. */
  readonly port: number
}

/** A metric's values by their labels, e.g. `method="GET",code="200"`. */
export type Series = ReadonlyMap<string, number>

/** What a process has used. */
export type Usage = {
  /** Resident memory now, in MiB. */
  readonly residentMiB: number
  /** The most it ever was, in MiB. */
  readonly peakMiB: number
  /** User and system time since its start, in seconds. */
  readonly cpuSeconds: number
}

/** A running operator. */
export type OperatorProcess = {
  usage(): Promise<Usage>
  /** All values of one metric; empty while it does not serve. */
  metric(name: string): Promise<Series>
  isReady(): Promise<boolean>
  /** Ends it as Kubernetes would: SIGTERM. Resolves with its exit code. */
  stop(): Promise<number | null>
}

const seriesOf = (text: string, name: string): Series =>
  new Map(
    text.split("\n").flatMap((line): [string, number][] => {
      const [, metric, labels = "", value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? []
      return metric === name ? [[labels, Number(value)]] : []
    }),
  )

const readUsage = async (pid: number): Promise<Usage> => {
  const [status, stat] = await Promise.all([
    readFile(`/proc/${pid}/status`, "utf8"),
    readFile(`/proc/${pid}/stat`, "utf8"),
  ])
  const mebibytes = (field: string): number =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1]) / 1024
  // the name in parentheses may hold spaces; utime and stime are the 12th and 13th field after it
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  return {
    residentMiB: mebibytes("VmRSS"),
    peakMiB: mebibytes("VmHWM"),
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond,
  }
}

const end = async (child: ChildProcess): Promise<number | null> => {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
  const exited = once(child, "exit")
  child.kill("SIGTERM")
  const late = setTimeout(() => child.kill("SIGKILL"), 30_000)
  await exited
  clearTimeout(late)
  return child.exitCode
}

/** Starts `--role operator`; its warnings go to standard error. */
export const startOperatorProcess = ({
  kubeconfig,
  namespace,
  maxInstances,
  port,
}: OperatorSettings): OperatorProcess => {
  const settings = {
    "kubernetes.kubeconfig": kubeconfig,
    "kubernetes.namespace": namespace,
    "kubernetes.max_instances": maxInstances,
    "metrics.listen": `127.0.0.1:${port}`,
    "log.level": "warn",
  }
  const assignments = Object.entries(settings).flatMap(([key, value]) => ["--set", `${key}=${value}`])
  const child = spawn(process.execPath, [program, "--role", "operator", ...assignments], {
    stdio: ["ignore", "inherit", "inherit"],
  })
  const ask = (path: string): Promise<Response> =>
    fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(10_000) })
  return {
    usage: () => readUsage(child.pid ?? 0),
    metric: async (name) =>
      seriesOf(
        await ask("/metrics").then(
          (answer) => answer.text(),
          () => "",
        ),
        name,
      ),
    isReady: () =>
      ask("/readyz").then(
        ({ ok }) => ok,
        () => false,
      ),
    stop: () => end(child),
  }
}

/** The sum of those values whose labels match. */
export const sum = (series: Series, labels = /(?:)/): number =>
  [...series].reduce((total, [key, value]) => (labels.test(key) ? total + value : total), 0)
