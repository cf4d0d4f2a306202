import { existsSync } from "node:fs"
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { hintFileOf, type InstallReport, mostNames, scriptsHint } from "../api/install-report.ts"
import { type Credentials, npmConfiguration, readCredentials, secretsOf, uvCredentials } from "./credentials.ts"
import { type Environment, environmentOf, hasProxy, scratchFolders } from "./environment.ts"
import { explain, isIncomplete, tellingLines } from "./explain.ts"
import { createMask } from "./mask.ts"
import { npmArguments } from "./npm.ts"
import { findNpmProgram, hasNpmPackage, skippedScripts } from "./npm-program.ts"
import { type Failure, failure, isFailure, type Order } from "./order.ts"
import { findPythonProgram, hasPythonPackage, siteOf, writeLaunchers } from "./python-program.ts"
import { checkReachable } from "./reach.ts"
import { type Runner, run } from "./run.ts"
import { findRuntime, missing, programs, type Runtime } from "./runtime.ts"
import { createUnfinished, publish, remove, removeLeftovers, setHint, setLink } from "./tree.ts"
import { uvArguments, uvManners } from "./uv.ts"

/** What an installation is given besides its order. */
export type Surroundings = {
  /** The variables of this process. */
  readonly variables: Readonly<Record<string, string | undefined>>
  /** Gets each line for the log, with its end. */
  readonly write: (text: string) => void
  /** Aborted: everything that runs is killed, and the installation rejects or fails. */
  readonly signal: AbortSignal
}

/** A step's means: what it installs, with which programs, as whom. */
type Means = {
  readonly order: Order
  readonly runtime: Runtime
  readonly environment: Environment
  readonly credentials: Credentials | undefined
  readonly runner: Runner
}

/** Creates the scratch folder, or one for the credentials alone. */
const createWorkplace = async ({ scratch }: Order): Promise<string> => {
  if (scratch === undefined) return await mkdtemp(join(tmpdir(), "reflow-install-"))
  for (const name of Object.values(scratchFolders)) await mkdir(join(scratch, name), { recursive: true })
  return scratch
}

/** Name of npm's user configuration, which has the registry's credentials. */
const userConfiguration = "npmrc"

/** Writes npm's user configuration; undefined if the user's own is to be used. */
const configureNpm = async ({ order, credentials }: Means, workplace: string): Promise<string | undefined> => {
  if (order.scratch === undefined && credentials === undefined) return undefined
  const file = join(workplace, userConfiguration)
  await writeFile(file, npmConfiguration(order.registry, credentials), { mode: 0o600 })
  return file
}

const hasPackage = (order: Order, tree: string): boolean =>
  order.type === "npm" ? hasNpmPackage(order, tree) : hasPythonPackage(order, tree)

/** Installs by npm or uv into a folder that exists. Undefined: it succeeded. */
const fetchPackage = async (means: Means, tree: string, workplace: string): Promise<Failure | undefined> => {
  const { order, runtime, environment, credentials, runner } = means
  const { manager } = programs[order.type]
  const call =
    order.type === "npm"
      ? { args: npmArguments(order, tree, await configureNpm(means, workplace)), environment }
      : {
          args: uvArguments(order, siteOf(tree), runtime.path),
          environment: { ...uvManners, ...environment, ...uvCredentials(credentials) },
        }
  const { code, refused, lines } = await run({ program: manager, folder: tree, ...call }, runner)
  // the server sees the volume of the scratch folder: what cannot be deleted fails the installation
  await rm(join(workplace, userConfiguration), { force: true })
  if (refused === "ENOENT") return missing(order.type, manager)
  if (refused !== "") return failure(`${manager} cannot be started: ${refused}.`)
  if (code === 0 && hasPackage(order, tree) && !isIncomplete(lines)) return undefined
  return failure(explain({ ...order, hasCredentials: credentials !== undefined }, lines, code), tellingLines(lines))
}

/** Makes the tree, and puts it at its place once it is complete. */
const makeTree = async (means: Means, place: string): Promise<Failure | undefined> => {
  const { order, environment, runner } = means
  const direct = order.scratch !== undefined && order.registry !== undefined && !hasProxy(environment)
  const gone = direct ? await checkReachable(order.registry, runner.signal) : undefined
  if (gone !== undefined) return gone
  const workplace = await createWorkplace(order)
  const tree = await createUnfinished(order.folder)
  try {
    // npm looks for the project around a folder that has none of this
    if (order.type === "npm") await writeFile(join(tree, "package.json"), '{ "private": true }\n')
    const failed = await fetchPackage(means, tree, workplace)
    if (failed !== undefined || runner.signal.aborted) return failed
    if (order.type === "pypi") writeLaunchers(order, tree)
    await chmod(tree, 0o755)
    await publish(tree, place)
    return undefined
  } finally {
    await rm(join(workplace, userConfiguration), { force: true })
    await remove(workplace)
    await remove(tree)
  }
}

const findProgram = (order: Order, tree: string): string | Failure =>
  order.type === "npm" ? findNpmProgram(order, tree) : findPythonProgram(order, tree)

const failed = ({ problem, lines }: Failure): InstallReport => ({ kind: "failed", problem, lines })

/** Trees with and without install scripts differ. */
const placeOf = ({ allowScripts }: Order, { name }: Runtime): string => (allowScripts ? `${name}-scripts` : name)

/**
 * Installs a package, unless it is there already, and links its program. Throws errors of the file system; what else can
 * go wrong is in the report. After an abort the report says nothing.
 */
export const install = async (order: Order, { variables, write, signal }: Surroundings): Promise<InstallReport> => {
  const credentials = readCredentials(order.secretFolder)
  if (credentials !== undefined && isFailure(credentials)) return failed(credentials)
  if (credentials !== undefined && order.registry === undefined)
    return failed(
      failure(
        `There are credentials for a registry, but none is named. Set kubernetes.packages.${order.type}.registry.`,
      ),
    )
  // a run that was killed has left its files there, and credentials among them
  if (order.scratch !== undefined) await rm(order.scratch, { recursive: true, force: true })
  const environment = environmentOf(order, variables)
  const runner = { signal, write, mask: createMask(secretsOf(credentials)), ownGroup: order.scratch !== undefined }
  await mkdir(order.folder, { recursive: true })
  const runtime = await findRuntime(order.type, order.folder, environment, runner)
  if (isFailure(runtime)) return failed(runtime)
  const name = placeOf(order, runtime)
  const tree = join(order.folder, name)
  const cached = existsSync(tree)
  await removeLeftovers(order.folder, Date.now())
  if (!cached) {
    const gone = await makeTree({ order, runtime, environment, credentials, runner }, tree)
    if (gone !== undefined) return failed(gone)
  }
  signal.throwIfAborted()
  const program = findProgram(order, tree)
  if (typeof program !== "string") return failed(program)
  const skipped = order.type === "npm" ? skippedScripts(order, tree) : []
  await setHint(hintFileOf(order.link), scriptsHint(skipped.slice(0, mostNames)))
  await setLink(order.link, join(order.seenAs, name, program))
  return { kind: "installed", cached, skippedScripts: skipped }
}
