/** Runs the operator in a separate process and reads its memory, CPU time and metrics. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { resolve } from "node:path"
import { type ProcessUsage, readUsage } from "../test/support/process-usage.ts"

/** The built program, as it is installed. Started from its sources, it uses 70 MiB more memory. */
const program = resolve(import.meta.dirname, "../dist/reflow.mjs")

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

/** A running operator. */
export type OperatorProcess = {
  usage(): Promise<ProcessUsage>
  /** All values of a metric; empty while the operator does not serve its metrics. */
  metric(name: string): Promise<Series>
  isReady(): Promise<boolean>
  /** Ends the operator with SIGTERM, as Kubernetes does, and with SIGKILL after 30 s. Resolves with its exit code. */
  stop(): Promise<number | null>
}

const seriesOf = (text: string, name: string): Series =>
  new Map(
    text.split("\n").flatMap((line): [string, number][] => {
      const [, metric, labels = "", value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? []
      return metric === name ? [[labels, Number(value)]] : []
    }),
  )

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

/** The sum of all values whose labels match; by default of all. */
export const sum = (series: Series, labels = /(?:)/): number =>
  [...series].reduce((total, [key, value]) => (labels.test(key) ? total + value : total), 0)
