/** Helm, and the chart of this repository. */

import { execFile } from "node:child_process"
import { cp, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { describe } from "vitest"
import { parseAllDocuments } from "yaml"
import { repositoryFile } from "../../support/reflow.ts"
import { cluster, kubectl, makeFolder } from "./cluster.ts"
import { findHelm, noHelm } from "./find-helm.ts"
import { forgetKinds, makeRoom } from "./install.ts"

const found = await findHelm()
const isFailure = found === undefined && (process.env.CI ?? "") !== ""
if (found === undefined) console.warn(`!!! HELM TESTS ${isFailure ? "FAILED" : "SKIPPED"}: ${noHelm} !!!`)

/** Path of Helm, or its bare name if it is in PATH. */
export const helmProgram = found ?? "helm"

/** Tests of the chart: without Helm they are skipped, loudly; with CI set they fail. */
export const describeChart = describe.skipIf(found === undefined && !isFailure)

/** The chart's folder. */
export const chart = repositoryFile("chart")

/** How Helm is called. */
export type HelmOptions = {
  /** Its standard input, for `--values -`. */
  readonly input?: string
  /** Bound in milliseconds; default 180 s. */
  readonly timeoutMs?: number
}

/** Runs Helm on the cluster and resolves with its standard output; fails with what it said on standard error. */
export const helm = (args: readonly string[], options: HelmOptions = {}): Promise<string> =>
  new Promise((done, fail) => {
    if (found === undefined) return fail(new Error(noHelm))
    const limits = { timeout: options.timeoutMs ?? 180_000, maxBuffer: 64 * 2 ** 20 }
    const all = [...args, "--kubeconfig", cluster.kubeconfig]
    const child = execFile(found, all, limits, (error, stdout, stderr) =>
      error === null ? done(stdout) : fail(new Error(`helm ${args.join(" ")}: ${stderr.trim() || error.message}`)),
    )
    child.stdin?.on("error", () => {})
    child.stdin?.end(options.input ?? "")
  })

/** What tests read of a rendered object. */
export type Rendered = {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly labels?: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
  }
  readonly data?: Readonly<Record<string, string>>
  // biome-ignore lint/suspicious/noExplicitAny: objects of many kinds; an absent field fails the test that asks for it
  readonly spec?: any
  readonly rules?: readonly { readonly resourceNames?: readonly string[] }[]
  readonly subjects?: readonly { readonly namespace?: string }[]
}

/** The object of a kind and a name. */
export const findObject = (objects: readonly Rendered[], kind: string, name = "reflow-gateway"): Rendered => {
  const found = objects.find((each) => each.kind === kind && each.metadata.name === name)
  if (found === undefined) throw new Error(`no ${kind} ${name}`)
  return found
}

/** The objects as `Kind namespace/name`, sorted. */
export const namesOf = (objects: readonly Rendered[]): readonly string[] =>
  objects.map(({ kind, metadata }) => `${kind} ${metadata.namespace ?? ""}/${metadata.name}`).sort()

/** The objects of a text of YAML documents. */
export const objectsOf = (text: string): readonly Rendered[] =>
  parseAllDocuments(text)
    .map((document) => document.toJS() as Rendered | null)
    .filter((object) => object !== null)

/** Where and with what a release is rendered. */
export type Rendering = {
  /** Folder of the chart; default this repository's. */
  readonly from?: string
  readonly namespace?: string
  /** As a values file has them. */
  readonly values?: object
  readonly args?: readonly string[]
}

/** What `helm template` makes of the chart, without its tests. Asks no cluster. */
export const render = async (rendering: Rendering = {}): Promise<readonly Rendered[]> => {
  const { from = chart, namespace = "reflow-system", values = {}, args = [] } = rendering
  const flags = ["--namespace", namespace, "--kube-version", "1.35.0", "--values", "-", ...args]
  const text = await helm(["template", "reflow-operator", from, "--skip-tests", ...flags], {
    input: JSON.stringify(values),
  })
  return objectsOf(text)
}

/** A copy of the chart whose files are changed by `change`, e.g. to be an earlier version; gone at the end of the file. */
export const copyChart = async (changes: Readonly<Record<string, (text: string) => string>>): Promise<string> => {
  const folder = join(await makeFolder(), "chart")
  await cp(chart, folder, { recursive: true })
  for (const [path, change] of Object.entries(changes)) {
    const before = await readFile(join(folder, path), "utf8")
    const after = change(before)
    if (after === before) throw new Error(`nothing was changed in ${path}`)
    await writeFile(join(folder, path), after)
  }
  return folder
}

type Stored = {
  readonly kind: string
  readonly metadata: { readonly namespace?: string; readonly name: string; readonly resourceVersion: string }
}

/** Versions of objects by `Kind namespace/name`. */
export type Versions = Readonly<Record<string, string>>

const versionsIn = (text: string): Versions =>
  Object.fromEntries(
    (JSON.parse(text) as { items: Stored[] }).items.map(({ kind, metadata }) => [
      `${kind} ${metadata.namespace ?? ""}/${metadata.name}`,
      metadata.resourceVersion,
    ]),
  )

/**
 * The versions of the objects that `read` gets as JSON, once nothing writes them any more: controllers tell the state of
 * new ones for a while.
 */
export const settledVersions = async (read: () => Promise<string>): Promise<Versions> => {
  let versions = versionsIn(await read())
  for (let look = 0; look < 20; look++) {
    await sleep(3_000)
    const next = versionsIn(await read())
    if (JSON.stringify(next) === JSON.stringify(versions)) return versions
    versions = next
  }
  throw new Error("the objects are written again and again")
}

/** Everything of a release, as JSON. */
export const readRelease = async (name: string, namespace: string): Promise<string> => {
  const input = await helm(["get", "manifest", name, "--namespace", namespace])
  return kubectl(["get", "-o", "json", "-f", "-"], { input })
}

/** Namespaces and kinds are as fresh as a user finds them; at the end of the file the kinds are those of crd/ again. */
export const makeRoomForChart = async (): Promise<void> => {
  await makeRoom()
  await forgetKinds()
}

/** Removes everything that a chart has left, and gives the files after this one the kinds that they expect. */
export const removeChart = async (...namespaces: readonly string[]): Promise<void> => {
  const gone = ["--ignore-not-found", "--timeout=150s"]
  await kubectl(["delete", "namespace", ...namespaces, ...gone], { timeoutMs: 180_000 })
  await forgetKinds()
  await kubectl(["apply", "--server-side", "--force-conflicts", "-f", repositoryFile("crd")])
}
