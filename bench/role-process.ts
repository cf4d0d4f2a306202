/** Runs a role in a separate process and reads its memory, CPU time and metrics. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { resolve } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { type ProcessUsage, readUsage } from "../test/support/process-usage.ts"
import { freePort } from "./ports.ts"

/** The built program, as it is installed. Started from its sources, it uses 70 MiB more memory. */
const program = resolve(import.meta.dirname, "../dist/reflow.mjs")

/** Which role to start, and how. */
export type RoleSettings = {
  readonly role: "gateway" | "operator"
  readonly kubeconfig: string
  /** Namespace of the instances. */
  readonly namespace: string
  /** Further keys of the configuration. */
  readonly set?: Readonly<Record<string, string | number>>
}

/** A metric's values by their labels, e.g. `method="GET",code="200"`. */
export type Series = ReadonlyMap<string, number>

/** A running role. */
export type RunningRole = {
  readonly name: RoleSettings["role"]
  usage(): Promise<ProcessUsage>
  /** All values of a metric; empty while the role does not serve its metrics. */
  metric(name: string): Promise<Series>
  /** Throws if the role has ended. */
  isReady(): Promise<boolean>
  /** Ends the role with SIGTERM, as Kubernetes does, and with SIGKILL after 30 s. Resolves with its exit code. */
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

/** Starts a role, with metrics and health at this port of 127.0.0.1; its warnings go to standard error. */
export const startRoleProcess = ({ role, kubeconfig, namespace, set }: RoleSettings, port: number): RunningRole => {
  const settings = {
    "kubernetes.kubeconfig": kubeconfig,
    "kubernetes.namespace": namespace,
    "metrics.listen": `127.0.0.1:${port}`,
    "log.level": "warn",
    ...set,
  }
  const assignments = Object.entries(settings).flatMap(([key, value]) => ["--set", `${key}=${value}`])
  const child = spawn(process.execPath, [program, "--role", role, ...assignments], {
    stdio: ["ignore", "inherit", "inherit"],
  })
  const ask = (path: string): Promise<Response> =>
    fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(10_000) })
  return {
    name: role,
    usage: () => readUsage(child.pid ?? 0),
    metric: async (name) =>
      seriesOf(
        await ask("/metrics").then(
          (answer) => answer.text(),
          () => "",
        ),
        name,
      ),
    isReady: async () => {
      if (child.exitCode !== null) throw new Error(`the ${role} ended with ${child.exitCode}`)
      return ask("/readyz").then(
        ({ ok }) => ok,
        () => false,
      )
    },
    stop: () => end(child),
  }
}

/** The sum of all values whose labels match; by default of all. */
export const sum = (series: Series, labels = /(?:)/): number =>
  [...series].reduce((total, [key, value]) => (labels.test(key) ? total + value : total), 0)

/** A condition to wait for. `what` is for the message of the error. */
export type Wait = { readonly ms: number; readonly what: string; readonly signal: AbortSignal }

/** Asks four times a second until the answer is true. Throws after `ms`. */
export const until = async (holds: () => Promise<boolean>, { ms, what, signal }: Wait): Promise<void> => {
  for (const end = Date.now() + ms; !(await holds()); await sleep(250, undefined, { signal }))
    if (Date.now() > end) throw new Error(`not within ${ms / 1_000} s: ${what}`)
}

/** Runs `use` with a role, and ends the role afterwards, also if `use` throws. */
export const withRole = async <T>(
  settings: RoleSettings,
  signal: AbortSignal,
  use: (role: RunningRole) => Promise<T>,
): Promise<T> => {
  const role = startRoleProcess(settings, await freePort())
  try {
    await until(role.isReady, { ms: 120_000, what: `the ${settings.role} ready`, signal })
    return await use(role)
  } finally {
    const code = await role.stop()
    if (code !== 0) console.error(`the ${settings.role} ended with ${code}`)
  }
}
