import { type ChildProcess, spawn } from "node:child_process"
import { resolve } from "node:path"
import { createInterface } from "node:readline"
import { afterAll, afterEach } from "vitest"
import { type Namespaces, toRBAC } from "../../../src/adapters/kube/rbac.ts"
import { accountKubeconfig, kubectl, makeNamespace } from "./cluster.ts"

const main = resolve(import.meta.dirname, "../../../src/main.ts")

/** A log line of a role. */
export type RoleLine = { readonly level: string; readonly message: string; readonly [field: string]: unknown }

/** A role of the program as a process of this machine. */
export type RoleProcess = {
  readonly process: ChildProcess
  /** Its log so far. */
  readonly lines: readonly RoleLine[]
  /** Everything it wrote so far. */
  output(): string
  /** The first line with this message; fails after `ms` (default 30 s), or when the process ends without it. */
  line(message: string, ms?: number): Promise<RoleLine>
  /** Address of a path of its metrics listener. */
  probe(path: "/healthz" | "/readyz" | "/metrics"): Promise<{ readonly status: number; readonly text: string }>
  /** Exit code, or the signal that ended it. */
  readonly ended: Promise<number | string>
}

/** How a role is started. */
export type RoleOptions = {
  readonly kubeconfig: string
  /** Namespace of the instances. */
  readonly namespace: string
  readonly set?: Readonly<Record<string, string>>
  /** Program and arguments before the flags; default the source on Node. */
  readonly launch?: readonly [string, ...string[]]
  /** Variables besides PATH and HOME. */
  readonly env?: Readonly<Record<string, string>>
  /** At whose end it is killed; default the test's. */
  readonly until?: "test" | "file"
}

const running = new Map<ChildProcess, "test" | "file">()
afterEach(() => {
  for (const [child, until] of running) if (until === "test") child.kill("SIGKILL")
})
afterAll(() => {
  for (const child of running.keys()) child.kill("SIGKILL")
})

const defaults = { "gateway.listen": "127.0.0.1:0", "metrics.listen": "127.0.0.1:0" }

/** Starts a role from its source. It is killed at the end of the test, or of the file, if it still runs. */
export const startRole = (role: "gateway" | "operator" | "all", options: RoleOptions): RoleProcess => {
  const { kubeconfig, namespace, set, env, until = "test" } = options
  const settings = { ...defaults, "kubernetes.kubeconfig": kubeconfig, "kubernetes.namespace": namespace, ...set }
  const flags = Object.entries(settings).flatMap(([key, value]) => ["--set", `${key}=${value}`])
  const [command, ...before] = options.launch ?? [process.execPath, main]
  const child = spawn(command, [...before, "--role", role, ...flags], {
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  })
  running.set(child, until)
  const lines: RoleLine[] = []
  const raw: string[] = []
  const listeners = new Set<() => void>()
  const tell = () => {
    for (const listener of [...listeners]) listener()
  }
  for (const stream of [child.stdout, child.stderr])
    createInterface({ input: stream }).on("line", (text) => {
      raw.push(text)
      if (text.startsWith("{")) lines.push(JSON.parse(text) as RoleLine)
      tell()
    })
  let isOver = false
  const ended = new Promise<number | string>((done) => {
    child.on("close", (code, signal) => {
      isOver = true
      running.delete(child)
      done(code ?? signal ?? "")
      tell()
    })
  })
  const line = (message: string, ms = 30_000): Promise<RoleLine> =>
    new Promise((found, fail) => {
      const finish = (act: () => void) => {
        clearTimeout(timer)
        listeners.delete(look)
        act()
      }
      const missing = (why: string) =>
        finish(() => fail(new Error(`no '${message}' ${why}:\n${raw.slice(-20).join("\n")}`)))
      const look = () => {
        const hit = lines.find((each) => each.message === message)
        if (hit !== undefined) finish(() => found(hit))
        else if (isOver) missing("before the end")
      }
      const timer = setTimeout(() => missing(`within ${ms} ms`), ms)
      listeners.add(look)
      look()
    })
  return {
    process: child,
    lines,
    output: () => raw.join("\n"),
    line,
    ended,
    probe: async (path) => {
      const { url } = await line("metrics")
      const response = await fetch(new URL(path, String(url)))
      return { status: response.status, text: await response.text() }
    },
  }
}

/** The value of a sample in a role's metrics, e.g. of `reflow_watch_lists_total{kind="Pod"}`; NaN if there is none. */
export const sample = async (role: RoleProcess, name: string): Promise<number> => {
  const lines = (await role.probe("/metrics")).text.split("\n")
  return Number(
    lines
      .find((line) => line.startsWith(`${name} `))
      ?.split(" ")
      .at(-1),
  )
}

/** Two namespaces with the rights of both roles, and how to act as each of them. */
export type Installation = {
  /** Namespace of the ServiceAccounts. */
  readonly own: string
  /** Namespace of the instances. */
  readonly instances: string
  /** Path of a kubeconfig of a role's ServiceAccount; `server` leads another way to the API server. */
  kubeconfig(role: "gateway" | "operator" | "all", server?: string): Promise<string>
}

/** A ServiceAccount with the rights of both actors, for the role all. */
const toBoth = ({ own, instances }: Namespaces) => {
  const group = "rbac.authorization.k8s.io"
  const name = "reflow-all"
  const bindings = ["gateway", "operator"].flatMap((actor) =>
    [own, instances].map((namespace) => ({
      apiVersion: `${group}/v1`,
      kind: "RoleBinding",
      metadata: { name: `${name}-${actor}`, namespace },
      roleRef: { apiGroup: group, kind: "Role", name: `reflow-${actor}` },
      subjects: [{ kind: "ServiceAccount", name, namespace: own }],
    })),
  )
  return [{ apiVersion: "v1", kind: "ServiceAccount", metadata: { name, namespace: own } }, ...bindings]
}

/** Makes namespaces, ServiceAccounts and Roles, as rbac/ does for an installation; all gone at the end of the file. */
export const makeInstallation = async (prefix: string): Promise<Installation> => {
  const restricted = { "pod-security.kubernetes.io/enforce": "restricted" }
  const own = await makeNamespace(`${prefix}-system`, restricted)
  const instances = await makeNamespace(prefix, restricted)
  const actors = (["gateway", "operator"] as const).flatMap((actor) => toRBAC(actor, { own, instances }))
  const items = [...actors, ...toBoth({ own, instances })]
  await kubectl(["apply", "-f", "-"], { input: JSON.stringify({ apiVersion: "v1", kind: "List", items }) })
  return {
    own,
    instances,
    kubeconfig: (role, server) =>
      accountKubeconfig({ namespace: own, name: `reflow-${role}`, ...(server === undefined ? {} : { server }) }),
  }
}

/** The token of the first administrator of an installation, read as docs/install.md says. */
export const readBootstrapToken = async ({ own }: Installation): Promise<string> => {
  const path = "jsonpath={.data.token}"
  return atob(await kubectl(["get", "secret", "reflow-bootstrap-token", "-n", own, "-o", path]))
}
