/**
 * Builds all outputs:
 *
 *   node build.config.ts [bundle|bridge|install|executable|libraries|plugin|notices|all]
 *
 * - dist/reflow.mjs      the program for Node ≥ 22.19 and Deno 2, one file that needs no packages
 * - dist/bridge.mjs      the role bridge alone, for Node ≥ 22.19
 * - dist/install.mjs     the role install alone, for Node ≥ 22.19
 * - dist/reflow          the program and Node 26 in one file
 * - dist/libraries       loader and libraries of dist/reflow, with which it starts in an image of any libc (Linux only)
 * - dist/plugin.{js,d.ts} the public plugin API, `reflow-gateway/plugin`
 * - dist/reflow.cdx.json, dist/THIRD-PARTY.txt   bill of materials (CycloneDX) and licences of the executable
 *
 * Builds are reproducible: the same sources give the same bytes, in any folder.
 */
import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import { readdirSync, readFileSync } from "node:fs"
import { chmod, copyFile, mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from "node:fs/promises"
import { isBuiltin } from "node:module"
import { basename, join } from "node:path"
import { argv, platform } from "node:process"
import { promisify } from "node:util"
import { type BuildOptions, build, type Plugin } from "esbuild"
import { build as buildLibrary } from "tsup"
import { withoutPackages } from "./build.declarations.ts"
import {
  type Lockfile,
  type Part,
  partsOf,
  type RuntimeVersions,
  toBillOfMaterials,
  toNotices,
} from "./build.packages.ts"
import manifest from "./package.json" with { type: "json" }

const run = promisify(execFile)
const root = import.meta.dirname
const dist = join(root, "dist")

/** Node 26, installed by npm: it runs inside the executable, and builds it (older versions have no `--build-sea`). */
const node = join(root, "node_modules/node/bin/node")

/**
 * Replaces packages that libraries load only if they are installed: the bundle must not depend on what else is
 * installed on the build machine.
 */
const absent: Plugin = {
  name: "absent",
  setup: (api) => {
    api.onResolve({ filter: /^(bufferutil|utf-8-validate|supports-color)$/ }, ({ path }) => ({
      path,
      namespace: "absent",
    }))
    api.onLoad({ filter: /.*/, namespace: "absent" }, ({ path }) => ({
      contents: `throw new Error("${path} is not part of this program")`,
    }))
  },
}

const program: BuildOptions = {
  absWorkingDir: root,
  entryPoints: ["src/main.ts"],
  bundle: true,
  platform: "node",
  plugins: [absent],
  legalComments: "eof",
  logLevel: "silent",
  metafile: true,
  write: false,
}

/**
 * The same program in ASCII. esbuild leaves comments and regular expressions as they are, and a single other character
 * makes V8 keep the whole text with two bytes for each character: 11 MiB instead of 5.5.
 */
const toAscii = (contents: Uint8Array): Uint8Array =>
  Buffer.from(
    Buffer.from(contents)
      .toString()
      .replace(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`),
  )

/** Bundles the program. Throws on a warning, and on an import of a module that is not built into Node. */
const bundleProgram = async (options: BuildOptions): Promise<{ contents: Uint8Array; inputs: readonly string[] }> => {
  const { warnings, metafile, outputFiles } = await build({ ...program, ...options, write: false, metafile: true })
  const problems = warnings.map(({ text, location }) => `${location?.file}:${location?.line}: ${text}`)
  for (const { imports } of Object.values(metafile.outputs))
    for (const { path, external } of imports) if (external && !isBuiltin(path)) problems.push(`imports ${path}`)
  if (problems.length > 0) throw new Error(`the bundle is not clean:\n${problems.join("\n")}`)
  const [file] = outputFiles
  if (file === undefined) throw new Error("esbuild made nothing")
  return {
    contents: toAscii(file.contents),
    inputs: Object.values(metafile.outputs).flatMap(({ inputs }) => Object.keys(inputs)),
  }
}

/** Writes a new file and renames it over the old one, so that a running program keeps its file. */
const install = async (name: string, contents: Uint8Array): Promise<void> => {
  const path = join(dist, name)
  await writeFile(`${path}.new`, contents)
  await chmod(`${path}.new`, 0o755)
  await rename(`${path}.new`, path)
}

/** Oldest Node that runs the bundle, e.g. `22.19`. */
const oldestNode = manifest.engines.node.replace(">=", "")

/** First lines of the bundle: they refuse an older Node with a message, and define `require`, which ES modules lack. */
const banner = `#!/usr/bin/env node
import { createRequire as createRequireOfBundle } from "node:module";
{
  const [major, minor] = process.versions.node.split(".").map(Number);
  const [oldestMajor, oldestMinor] = [${oldestNode.replace(".", ", ")}];
  if (major < oldestMajor || (major === oldestMajor && minor < oldestMinor)) {
    console.error("reflow needs Node ${oldestNode} or newer; this is Node " + process.versions.node);
    process.exit(2);
  }
}
const require = createRequireOfBundle(import.meta.url);`

/** dist/reflow.mjs. */
const buildBundle = async (): Promise<void> => {
  const options: BuildOptions = { format: "esm", target: `node${oldestNode}`, banner: { js: banner } }
  const { contents } = await bundleProgram({ ...options, outfile: join(dist, "reflow.mjs") })
  await install("reflow.mjs", contents)
}

/**
 * Most bytes of dist/bridge.mjs: a ConfigMap carries it into Pods, and every instance of a stdio server parses it at
 * its start.
 */
const largestBridge = 100_000

/** Most bytes of dist/install.mjs, which each init container of a package parses. */
const largestInstaller = 60_000

/** The bundle of a small program of its own. Throws if it is too large, which is what a library in it would cause. */
const bundleSmall = async (entry: string, name: string, largest: number): Promise<Uint8Array> => {
  const options: BuildOptions = { format: "esm", target: `node${oldestNode}`, banner: { js: banner } }
  const { contents } = await bundleProgram({
    ...options,
    // names stay, so that a stack says where a fault is
    minifyWhitespace: true,
    minifySyntax: true,
    entryPoints: [entry],
    outfile: join(dist, name),
  })
  if (contents.length > largest) throw new Error(`${name} has ${contents.length} bytes, more than ${largest}`)
  return contents
}

const bundleInstaller = () => bundleSmall("src/install/entry.ts", "install.mjs", largestInstaller)

const bundleBridge = () => bundleSmall("src/bridge/entry.ts", "bridge.mjs", largestBridge)

/** dist/bridge.mjs. */
const buildBridge = async (): Promise<void> => install("bridge.mjs", await bundleBridge())

/** dist/install.mjs. */
const buildInstaller = async (): Promise<void> => install("install.mjs", await bundleInstaller())

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )

const ofExecutable: BuildOptions = { format: "cjs", target: "node26" }

/** Bundles the program for the executable, as CommonJS. */
const bundleForExecutable = () => bundleProgram({ ...ofExecutable, outfile: join(dist, "reflow.cjs") })

/**
 * The files in the executable: its main, which is small, runs one of the three programs, so that a bridge or an
 * installer does not parse the whole program. `bridge.mjs` and `install.mjs` are for the ConfigMap
 * that the operator keeps.
 */
const embeddedFiles = async (): Promise<ReadonlyMap<string, Uint8Array>> => {
  const bundle = async (entry: string) =>
    (await bundleProgram({ ...ofExecutable, entryPoints: [entry], outfile: join(dist, "part.cjs") })).contents
  return new Map([
    ["main.cjs", await bundle("src/executable.ts")],
    ["program.cjs", (await bundleForExecutable()).contents],
    ["bridge.cjs", await bundle("src/bridge/main.ts")],
    ["install.cjs", await bundle("src/install/main.ts")],
    ["bridge.mjs", await bundleBridge()],
    ["install.mjs", await bundleInstaller()],
  ])
}

const executableSettings = {
  mainFormat: "commonjs",
  disableExperimentalSEAWarning: true,
  // NODE_OPTIONS must not inject code into a program that holds credentials.
  execArgvExtension: "none",
}

/** Embeds the files in a copy of Node, `folder`/reflow. Paths are relative, since Node writes them into the copy. */
const embed = async (files: ReadonlyMap<string, Uint8Array>, folder: string): Promise<void> => {
  const [main, output] = ["main.cjs", "reflow"]
  for (const [name, contents] of files) await writeFile(join(folder, name), contents)
  const assets = Object.fromEntries([...files.keys()].filter((name) => name !== main).map((name) => [name, name]))
  await writeFile(join(folder, "sea.json"), JSON.stringify({ ...executableSettings, main, output, assets }))
  await run(node, ["--build-sea", "sea.json"], { cwd: folder })
  if (platform === "darwin") await run("codesign", ["--sign", "-", "--force", join(folder, output)])
}

/** dist/reflow (150 MB). Skipped if the program, this file and Node have not changed since the last build. */
const buildExecutable = async (): Promise<void> => {
  const files = await embeddedFiles()
  const runtime = await readFile(join(root, "node_modules/node/package.json"))
  const inputs = [...files.values(), await readFile(import.meta.filename), runtime]
  const stamp = inputs.reduce((hash, input) => hash.update(input), createHash("sha256")).digest("hex")
  const [executable, stampFile] = [join(dist, "reflow"), join(dist, "reflow.stamp")]
  const built = await readFile(stampFile, "utf8").catch(() => "")
  if (built === stamp && (await exists(executable))) return

  const folder = await mkdtemp(join(dist, ".executable-"))
  try {
    await embed(files, folder)
    await rm(stampFile, { force: true })
    await rename(join(folder, "reflow"), executable)
    await writeFile(stampFile, stamp)
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** Paths of the loader and of the libraries that a program needs, by `ldd`. */
const librariesOf = async (program: string): Promise<readonly string[]> => {
  const { stdout } = await run("ldd", [program])
  return [...stdout.matchAll(/(\/\S+) \(0x/g)].flatMap(([, path]) => path ?? [])
}

/** dist/libraries: `loader`, and `lib` with the libraries by the names that the program asks for. */
const buildLibraries = async (): Promise<void> => {
  if (platform !== "linux") throw new Error("the libraries are those of Linux: build them there")
  const folder = await mkdtemp(join(dist, ".libraries-"))
  await mkdir(join(folder, "lib"))
  for (const path of await librariesOf(node)) {
    const name = basename(path)
    await copyFile(path, join(folder, name.startsWith("ld-linux") ? "loader" : join("lib", name)))
  }
  await chmod(join(folder, "loader"), 0o755)
  await chmod(folder, 0o755)
  await rm(join(dist, "libraries"), { recursive: true, force: true })
  await rename(folder, join(dist, "libraries"))
}

/** dist/plugin.{js,d.ts}. */
const buildPlugin = async (): Promise<void> => {
  await buildLibrary({
    config: false,
    entry: { plugin: "src/plugin/contract.ts" },
    outDir: dist,
    format: "esm",
    target: `node${oldestNode}`,
    platform: "node",
    dts: true,
    clean: false,
    silent: true,
  })
  const path = join(dist, "plugin.d.ts")
  await writeFile(path, withoutPackages(await readFile(path, "utf8")))
}

/** The texts of a package's licence and notice files. Throws if it has none. */
const licenceText = ({ folder }: Part): string => {
  const files = readdirSync(join(root, folder)).filter((name) => /^((un)?licen[sc]e|copying|notice)/i.test(name))
  if (files.length === 0) throw new Error(`${folder} has no licence's text`)
  return files.map((name) => readFileSync(join(root, folder, name), "utf8")).join("\n\n")
}

/** The packages that the bundle of the executable contains. */
export const programParts = async (): Promise<readonly Part[]> => {
  const { inputs } = await bundleForExecutable()
  return partsOf(inputs, JSON.parse(await readFile(join(root, "package-lock.json"), "utf8")) as Lockfile)
}

/** dist/reflow.cdx.json and dist/THIRD-PARTY.txt. */
const buildNotices = async (): Promise<void> => {
  const parts = await programParts()
  const versions = (await run(node, ["-p", "JSON.stringify(process.versions)"])).stdout
  const runtime = JSON.parse(versions) as RuntimeVersions
  const bill = JSON.stringify(toBillOfMaterials(manifest, parts, runtime), null, 2)
  await writeFile(join(dist, "reflow.cdx.json"), `${bill}\n`)
  await writeFile(join(dist, "THIRD-PARTY.txt"), toNotices(manifest, parts, runtime, licenceText))
}

const outputs = {
  bundle: buildBundle,
  bridge: buildBridge,
  install: buildInstaller,
  executable: buildExecutable,
  libraries: buildLibraries,
  plugin: buildPlugin,
  notices: buildNotices,
}

/** Names of the outputs. */
export type Output = keyof typeof outputs

/** Builds the named outputs into dist/, by default all. Rejects on the first warning of a bundle. */
export const buildOutputs = async (
  names: readonly Output[] = ["bundle", "bridge", "install", "executable", "plugin", "notices"],
): Promise<void> => {
  await mkdir(dist, { recursive: true })
  for (const name of names) await outputs[name]()
}

/**
 * Builds the output that the command line names, or all; resolves with the exit code: 0, 1 failed, 2 wrong argument.
 */
const main = async (name = "all"): Promise<number> => {
  const names = (Object.keys(outputs) as Output[]).filter((output) => name === "all" || name === output)
  if (names.length === 0) {
    console.error("usage: node build.config.ts [bundle|bridge|install|executable|libraries|plugin|notices|all]")
    return 2
  }
  const start = performance.now()
  try {
    await buildOutputs(names)
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    return 1
  }
  const ms = Math.round(performance.now() - start)
  console.log(`${manifest.name} ${manifest.version}: ${names.join(", ")} in ${ms} ms`)
  return 0
}

if (import.meta.main) process.exitCode = await main(argv[2])
