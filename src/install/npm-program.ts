import { closeSync, openSync, readFileSync, readSync, realpathSync, statSync } from "node:fs"
import { join, posix, sep } from "node:path"
import { chooseProgram, type Programs } from "./choice.ts"
import { withScripts } from "./npm.ts"
import { type Failure, failure, type Order } from "./order.ts"

/** Most bytes of a package.json. */
const largestManifest = 4 * 2 ** 20
/** Most bytes of the list of installed packages. */
const largestLockfile = 64 * 2 ** 20

/** A file's text; undefined if there is none, or it is too large. */
export const readBounded = (path: string, most: number): string | undefined => {
  try {
    return statSync(path).size > most ? undefined : readFileSync(path, "utf8")
  } catch {
    return undefined
  }
}

/** The programs that a package.json declares (npm, «package.json», bin). */
export const readBins = (manifest: string, name: string): Programs => {
  try {
    const { bin } = JSON.parse(manifest) as { readonly bin?: unknown }
    if (typeof bin === "string") return new Map([[name.slice(name.lastIndexOf("/") + 1), bin]])
    if (typeof bin !== "object" || bin === null || Array.isArray(bin)) return new Map()
    return new Map(Object.entries(bin).filter((entry): entry is [string, string] => typeof entry[1] === "string"))
  } catch {
    return new Map()
  }
}

/** True if the path, as a package.json has it, stays in the package as far as its text says. */
export const staysInside = (path: string): boolean => {
  const normal = posix.normalize(path.replaceAll("\\", "/"))
  return !posix.isAbsolute(normal) && normal !== ".." && !normal.startsWith("../") && !path.includes("\0")
}

/** The first bytes of a file, as text of one byte each. */
const beginning = (path: string): string => {
  const buffer = Buffer.alloc(256)
  const file = openSync(path, "r")
  try {
    return buffer.toString("latin1", 0, readSync(file, buffer, 0, buffer.length, 0))
  } finally {
    closeSync(file)
  }
}

/** Beginnings of compiled programs: ELF, Mach-O, Windows. */
const compiled = ["\x7FELF", "\xCF\xFA\xED\xFE", "\xCA\xFE\xBA\xBE", "MZ"]

/** What a program is written for, by its first bytes; undefined if Node can run it, as far as they say. */
export const foreignTo = (start: string): string | undefined => {
  if (compiled.some((magic) => start.startsWith(magic))) return "compiled for a machine"
  const [first = "", second = ""] = start.split("\n", 2)
  if (!first.startsWith("#!") || first.includes("node")) return undefined
  // a shell's line that JavaScript skips: such a script starts Node itself
  if (/^\s{0,8}(['"]:|\/\/)/.test(second)) return undefined
  return `a script for ${first.slice(2).trim().slice(0, 64)}`
}

const fileOf = (order: Order, folder: string, { name, value }: { name: string; value: string }): string | Failure => {
  const hint = order.allowScripts ? "" : " If its install script makes it, set allowScripts: true."
  const gone = failure(`${order.name} has no file ${value.slice(0, 128)}, which its program ${name} should be.${hint}`)
  const outside = failure(`The program ${name} of ${order.name} is a file outside of the package. It is not run.`)
  if (!staysInside(value)) return outside
  let file: string
  try {
    file = realpathSync(join(folder, value))
    if (!statSync(file).isFile()) return gone
  } catch {
    return gone
  }
  if (!file.startsWith(realpathSync(folder) + sep)) return outside
  const foreign = foreignTo(beginning(file))
  if (foreign === undefined) return file
  return failure(`The program ${name} of ${order.name} is not for Node: it is ${foreign}. Use an image with command.`)
}

/** Packages of a tree whose install scripts were not run. */
export const skippedScripts = ({ allowScripts }: Order, tree: string): readonly string[] =>
  allowScripts ? [] : withScripts(readBounded(join(tree, "node_modules/.package-lock.json"), largestLockfile) ?? "")

const manifestIn = (tree: string, name: string): string | undefined =>
  readBounded(join(tree, "node_modules", name, "package.json"), largestManifest)

/** True if the package itself is in the tree. */
export const hasNpmPackage = ({ name }: Order, tree: string): boolean => manifestIn(tree, name) !== undefined

/** The file of an installed npm package that Node runs: its path from the tree. */
export const findNpmProgram = (order: Order, tree: string): string | Failure => {
  const folder = join(tree, "node_modules", order.name)
  const manifest = manifestIn(tree, order.name)
  if (manifest === undefined) return failure(`${order.name} has no package.json that can be read.`)
  const hasScripts = skippedScripts(order, tree).includes(order.name)
  const chosen = chooseProgram(order, readBins(manifest, order.name), hasScripts)
  if ("problem" in chosen) return chosen
  const file = fileOf(order, folder, chosen)
  return typeof file === "string" ? file.slice(realpathSync(tree).length + 1) : file
}
