/**
 * What the images have in which packages are installed and run: a Node with npm, or a Python with uv. Both are those of
 * this machine, so that no image is pulled.
 */
import { execFile } from "node:child_process"
import { cp, mkdir, readFile, realpath, symlink } from "node:fs/promises"
import { basename, delimiter, dirname, join } from "node:path"
import { promisify } from "node:util"
import type { PackageType } from "../../../src/api/kinds/package.ts"
import { preparePythonTools } from "../../support/python-tools.ts"

const root = join(import.meta.dirname, "../../..")
const node = join(root, "node_modules/node/bin/node")

/** What an image of that kind is made from, for Docker. */
export const runnerBase = {
  npm: "node:26-bookworm-slim",
  pypi: "ghcr.io/astral-sh/uv:python3.13-trixie-slim",
} as const satisfies Readonly<Record<PackageType, string>>

const run = async (command: string, args: readonly string[]): Promise<string> =>
  (await promisify(execFile)(command, [...args], { timeout: 60_000, maxBuffer: 2 ** 24 })).stdout

/** The folder of this machine's npm: the command on the PATH is a link into it. */
const findNpm = async (): Promise<string> => {
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    const found = await realpath(join(folder, "npm")).catch(() => "")
    if (basename(found) === "npm-cli.js") return dirname(dirname(found))
  }
  throw new Error("no npm is on the PATH")
}

/** A Python as it must lie in an image: it finds its standard library at the path where it is here. */
type Python = {
  /** Path of its program, without links. */
  readonly program: string
  /** Folder of its standard library. */
  readonly library: string
  readonly version: string
}

const question = `
import json, os, sys, sysconfig
print(json.dumps({
  "program": os.path.realpath(getattr(sys, "_base_executable", sys.executable)),
  "library": sysconfig.get_paths()["stdlib"],
  "version": sys.version,
}))`

const findPython = async (): Promise<Python> => {
  const { python } = await preparePythonTools()
  return JSON.parse(await run(python, ["-c", question])) as Python
}

/** Not needed to run programs: tests, other people's packages, what embeds a Python in a program of C. */
const isLeftOut = (path: string): boolean =>
  /^(test|site-packages|dist-packages|__pycache__|idlelib|tkinter|turtledemo|lib2to3|config-.*)$/.test(basename(path))

/** Libraries that files link, by their paths. */
const librariesOf = async (files: readonly string[]): Promise<readonly string[]> => {
  const said = await run("ldd", files)
  return [...new Set([...said.matchAll(/^\s+(?:\S+ => )?(\/\S+) \(/gm)].map(([, path]) => path ?? ""))]
}

/** Links a path of the root file system to another of it, both absolute. */
const link = async (rootfs: string, path: string, to: string): Promise<void> => {
  await mkdir(dirname(join(rootfs, path)), { recursive: true })
  await symlink(to, join(rootfs, path))
}

const addNpm = async (rootfs: string, tools: string): Promise<void> => {
  await run(join(tools, "rootfs"), [rootfs, node, "/bin/sh", "/usr/bin/env"])
  const place = "/usr/local/lib/node_modules/npm"
  // its manuals are a third of it
  const filter = (path: string): boolean => !/\/npm\/(docs|man)$/.test(path)
  await cp(await findNpm(), join(rootfs, place), { recursive: true, filter })
  await link(rootfs, "/usr/local/bin/npm", `${place}/bin/npm-cli.js`)
  await link(rootfs, "/usr/bin/env", "/usr/local/bin/env")
  await link(rootfs, "/bin/sh", "/usr/local/bin/sh")
}

const addPython = async (rootfs: string, tools: string): Promise<void> => {
  const { uv } = await preparePythonTools()
  const { program, library } = await findPython()
  await run(join(tools, "rootfs"), [rootfs, await realpath(uv), "/bin/sh"])
  await mkdir(dirname(join(rootfs, program)), { recursive: true })
  await cp(program, join(rootfs, program))
  await cp(library, join(rootfs, library), { recursive: true, filter: (path) => !isLeftOut(path) })
  const extensions = await run("find", [join(rootfs, library, "lib-dynload"), "-name", "*.so"])
  for (const path of await librariesOf([program, ...extensions.trim().split("\n")])) {
    await mkdir(dirname(join(rootfs, path)), { recursive: true })
    await cp(await realpath(path), join(rootfs, path), { force: true })
  }
  await link(rootfs, "/usr/local/bin/python3", program)
  await link(rootfs, "/bin/sh", "/usr/local/bin/sh")
}

/** Makes the root file system of a runner image. */
export const addRunner = (type: PackageType, rootfs: string, tools: string): Promise<void> =>
  type === "npm" ? addNpm(rootfs, tools) : addPython(rootfs, tools)

/** What names the programs of a runner image; two alike are the same. */
export const runnerInputs = async (type: PackageType): Promise<readonly string[]> => {
  const source = await readFile(import.meta.filename, "utf8")
  if (type === "npm") return [source, await readFile(join(await findNpm(), "package.json"), "utf8")]
  const { uv } = await preparePythonTools()
  return [source, await run(uv, ["--version"]), JSON.stringify(await findPython())]
}
