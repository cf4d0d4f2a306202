import { createHash } from "node:crypto"
import { readFile } from "node:fs/promises"
import Module, { createRequire } from "node:module"
import { resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { AppError, toAppError } from "../errors.ts"
import type { ClockPort } from "../ports/clock.ts"
import { callPlugin, cleanReason } from "./call.ts"
import * as contract from "./contract.ts"

/** Time limit for loading a file, top-level awaits included, in milliseconds. */
const limitMs = 10_000

/** Name by which plugins import the plugin API; it resolves to this program's own copy. */
const apiName = "reflow-gateway/plugin"
const apiUrl = "reflow:plugin"
const importUrl = "reflow:import"
const shared = Symbol.for(apiName)

/** Source of the module that plugins import: it re-exports this program's own copy of the plugin API. */
const apiSource = (): string =>
  [
    `const api = globalThis[Symbol.for(${JSON.stringify(apiName)})]`,
    ...Object.keys(contract).map((name) => `export const ${name} = api.${name}`),
  ].join("\n")

const sources: Readonly<Record<string, () => string>> = {
  [apiUrl]: apiSource,
  // A function inside a module that was loaded the usual way: `import()` in the main script of a single executable
  // finds only what is built into Node.
  [importUrl]: () => "export default (url) => import(url)",
}

/** In Deno (2.9), `require` of CommonJS code does not call module hooks, so the loader's function is replaced. */
const registerForRequire = (): void => {
  const loader = Module as unknown as { _load: (request: string, ...rest: unknown[]) => unknown }
  const before = loader._load
  loader._load = (request, ...rest) => (request === apiName ? contract : before.call(loader, request, ...rest))
}

let registered = false

/** Makes `import "reflow-gateway/plugin"` work in plugins of any folder, whatever packages are installed there. */
const registerApi = (): void => {
  if (registered) return
  registered = true
  Reflect.set(globalThis, shared, contract)
  if (Object.hasOwn(globalThis, "Deno")) registerForRequire()
  // not `import { registerHooks }`: on an older Node that import fails before the bundle's check of the Node version
  Module.registerHooks({
    resolve: (specifier, context, next) => {
      const url = specifier === apiName ? apiUrl : specifier
      return Object.hasOwn(sources, url) ? { url, format: "module", shortCircuit: true } : next(specifier, context)
    },
    load: (url, context, next) => {
      const source = Object.hasOwn(sources, url) ? sources[url]?.() : undefined
      return source === undefined ? next(url, context) : { source, format: "module", shortCircuit: true }
    },
  })
}

/** True in the single executable, whose main script is embedded and not a file. */
export const isSingleExecutable = (): boolean => {
  const sea: { isSea?: () => boolean } | undefined = process.getBuiltinModule?.("node:sea")
  return sea?.isSea?.() ?? false
}

type Importer = (url: string) => Promise<{ readonly default?: unknown }>

const importerOf = (): Importer =>
  isSingleExecutable() ? createRequire(process.execPath)(importUrl).default : (url) => import(url)

const fail = (path: string, problem: string, cause?: unknown): AppError =>
  new AppError("PluginFailed", { detail: `The plugin ${path} ${problem}.`, data: { plugin: path }, cause })

const checkDigest = async (path: string, expected: string | undefined): Promise<void> => {
  const bytes = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
    throw fail(
      path,
      cause.code === "ENOENT" ? "does not exist" : `cannot be read (${cause.code ?? "unknown error"})`,
      cause,
    )
  })
  const actual = createHash("sha256").update(bytes).digest("hex")
  if (expected === undefined || actual === expected) return
  throw fail(path, `has the SHA-256 ${actual}, not the one that the configuration names`)
}

/** The default export. In a CommonJS file that a compiler made from ESM it is `module.exports.default`. */
const defaultOf = (module: { readonly default?: unknown }): unknown => {
  const found = module.default as { readonly __esModule?: boolean; readonly default?: unknown } | undefined
  return found?.__esModule === true ? found.default : found
}

/** Why a file could not be loaded; for an ES module with a CommonJS name also what to do. */
const reasonOf = ({ message }: Error): string =>
  message.includes("import statement outside a module")
    ? `${message}: rename it to .mjs or .mts, or set "type": "module" in the package.json of its folder`
    : cleanReason(message)

/**
 * Loads a plugin's file and returns its default export. Files: `.mjs`, `.cjs`, `.js`, and `.ts` or `.mts` with erasable
 * syntax only. Throws PluginFailed if the file does not exist, has another digest, fails or takes longer than 10 s.
 */
export const loadPluginFile = async (
  file: { readonly path: string; readonly sha256?: string | undefined },
  clock: ClockPort,
): Promise<unknown> => {
  const path = resolve(file.path)
  await checkDigest(path, file.sha256)
  registerApi()
  const load = importerOf()
  try {
    return defaultOf(
      await callPlugin({ plugin: path, hook: "load" }, { clock, limitMs }, () => load(pathToFileURL(path).href)),
    )
  } catch (error) {
    const { message, cause } = toAppError(error)
    const reason = cause instanceof Error ? reasonOf(cause) : message.replace(/\.$/, "")
    throw fail(path, `could not be loaded: ${reason}`, cause)
  }
}
