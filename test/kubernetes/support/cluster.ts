/** The real cluster of a test file: kubectl, namespaces, clients, ServiceAccounts. What a file makes goes at its end. */
import { execFile } from "node:child_process"
import { randomBytes } from "node:crypto"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, inject } from "vitest"
import { createKubeCluster, type KubeCluster } from "../../../src/adapters/kube/cluster.ts"
import { systemClock } from "../../../src/adapters/system/clock.ts"
import type { KubeObject } from "../../../src/api/kinds/kind.ts"
import type { Reflection } from "../../../src/ports/cluster.ts"
import type { TelemetryPort } from "../../../src/ports/telemetry.ts"
import { quietTelemetry } from "../../support/quiet-telemetry.ts"
import type { FoundCluster } from "./find-cluster.ts"

/** The cluster that this run has found. */
export const cluster: FoundCluster = inject("cluster")

/** Undone at the end of the file, last first. */
const undo: (() => Promise<unknown>)[] = []
afterAll(async () => {
  for (const each of undo.splice(0).reverse()) await each()
}, 60_000)

/** How kubectl is called. */
export type KubectlOptions = {
  /** Its standard input, for `-f -`. */
  readonly input?: string
  /** Whose rights; default the admin's. */
  readonly kubeconfig?: string
  /** Bound in milliseconds; default 60 s. */
  readonly timeoutMs?: number
}

/** Runs kubectl and resolves with its standard output; fails with what it said on standard error. */
export const kubectl = (args: readonly string[], options: KubectlOptions = {}): Promise<string> =>
  new Promise((done, fail) => {
    const all = ["--kubeconfig", options.kubeconfig ?? cluster.kubeconfig, ...args]
    const limits = { timeout: options.timeoutMs ?? 60_000, maxBuffer: 64 * 2 ** 20 }
    const child = execFile(cluster.kubectl, all, limits, (error, stdout, stderr) =>
      error === null ? done(stdout) : fail(new Error(`kubectl ${args.join(" ")}: ${stderr.trim() || error.message}`)),
    )
    child.stdin?.on("error", () => {})
    child.stdin?.end(options.input ?? "")
  })

/** What `kubectl get … -o json` says. */
export const kubectlJson = async (args: readonly string[], options?: KubectlOptions): Promise<unknown> =>
  JSON.parse(await kubectl([...args, "-o", "json"], options))

/** Makes a namespace of this file, e.g. `traffic-3f9a1c`; deleted at its end, without waiting for it. */
export const makeNamespace = async (prefix: string, labels: Readonly<Record<string, string>> = {}): Promise<string> => {
  const name = `${prefix}-${randomBytes(3).toString("hex")}`
  const namespace = { apiVersion: "v1", kind: "Namespace", metadata: { name, labels } }
  undo.push(() => kubectl(["delete", "namespace", name, "--wait=false", "--ignore-not-found"]))
  await kubectl(["create", "-f", "-"], { input: JSON.stringify(namespace) })
  return name
}

/** How a client is opened. */
export type OpenOptions = {
  /** Default the admin's kubeconfig. */
  readonly kubeconfig?: string
  /** Default one that keeps nothing. */
  readonly telemetry?: TelemetryPort
  /** As in the adapter. */
  readonly silenceLimitMs?: number
}

/** Opens the kube adapter as the program does; closed at the end of the file, or before. */
export const openCluster = (fieldManager: string, options: OpenOptions = {}): KubeCluster => {
  const opened = createKubeCluster({
    kubeconfig: options.kubeconfig ?? cluster.kubeconfig,
    fieldManager,
    clock: systemClock,
    telemetry: options.telemetry ?? quietTelemetry(),
    ...(options.silenceLimitMs === undefined ? {} : { silenceLimitMs: options.silenceLimitMs }),
  })
  undo.push(opened.close)
  return opened
}

/** A folder of this file for kubeconfigs and the like; removed at its end. */
export const makeFolder = async (): Promise<string> => {
  const folder = await mkdtemp(join(tmpdir(), "reflow-kubernetes-"))
  undo.push(() => rm(folder, { recursive: true, force: true }))
  return folder
}

type AdminConfig = {
  readonly clusters: readonly {
    readonly cluster: { readonly server: string; readonly [other: string]: string | boolean }
  }[]
}

/** Address of the API server, e.g. `https://198.18.255.1:6443`, and how its certificate is checked. */
export const readServer = async (): Promise<AdminConfig["clusters"][number]["cluster"]> => {
  const config = (await kubectlJson(["config", "view", "--minify", "--raw", "--flatten"])) as AdminConfig
  const found = config.clusters[0]?.cluster
  if (found === undefined) throw new Error("the admin's kubeconfig names no cluster")
  return found
}

/** A ServiceAccount, and where a kubeconfig in its name leads. */
export type AccountOptions = {
  readonly namespace: string
  readonly name: string
  /** Another way to the API server, e.g. a test's proxy, whose certificate is not checked; default the admin's way. */
  readonly server?: string
}

/** Writes a kubeconfig that acts as a ServiceAccount, which must exist; resolves with its path. The token lives an hour. */
export const accountKubeconfig = async ({ namespace, name, server }: AccountOptions): Promise<string> => {
  const token = (await kubectl(["create", "token", name, "-n", namespace, "--duration=1h"])).trim()
  const way = server === undefined ? await readServer() : { server, "insecure-skip-tls-verify": true }
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "test", cluster: way }],
    users: [{ name, user: { token } }],
    contexts: [{ name: "test", context: { cluster: "test", user: name, namespace } }],
    "current-context": "test",
  }
  const path = join(await makeFolder(), "kubeconfig")
  await writeFile(path, JSON.stringify(config), { mode: 0o600 })
  return path
}

/** Resolves with what `find` makes of a reflection as soon as it is not undefined; fails after `ms`. Asks at each change. */
export const waitFor = async <T extends KubeObject, R>(
  reflection: Reflection<T>,
  find: (reflection: Reflection<T>) => R | undefined,
  ms: number,
  what: string,
): Promise<R> => {
  const found = Promise.withResolvers<R>()
  const look = (): void => {
    const result = find(reflection)
    if (result !== undefined) found.resolve(result)
  }
  const unsubscribe = reflection.subscribe(look)
  const timer = setTimeout(() => found.reject(new Error(`not within ${ms} ms: ${what}`)), ms)
  try {
    look()
    return await found.promise
  } finally {
    clearTimeout(timer)
    unsubscribe()
  }
}

/** A line of the API server's audit log, as far as tests read it. */
export type AuditLine = {
  readonly verb: string
  readonly requestURI: string
  readonly userAgent?: string
  readonly user: { readonly username: string }
  readonly objectRef?: {
    readonly resource: string
    readonly namespace?: string
    readonly name?: string
    readonly subresource?: string
  }
  readonly responseStatus?: { readonly code: number }
  readonly requestReceivedTimestamp: string
}

/** The audit log's lines that are about a namespace, oldest first; undefined if the cluster keeps no log that we can read. */
export const readAudit = async (namespace: string): Promise<readonly AuditLine[] | undefined> => {
  if (cluster.auditLog === undefined) return undefined
  const text = await readFile(cluster.auditLog, "utf8")
  return text.split("\n").flatMap((line) => {
    if (!line.includes(`"namespace":"${namespace}"`)) return []
    const parsed = JSON.parse(line) as AuditLine
    return parsed.objectRef?.namespace === namespace ? [parsed] : []
  })
}
