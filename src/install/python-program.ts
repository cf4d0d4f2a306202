import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { chooseProgram, type Programs } from "./choice.ts"
import { patterns } from "./flags.ts"
import { launcherOf } from "./launcher.ts"
import { readBounded } from "./npm-program.ts"
import { type Failure, failure, type Order } from "./order.ts"

/** Most bytes of an entry_points.txt. */
const largestEntryPoints = 2 ** 20

/** Module and attributes of an entry point, without its extras (Python packaging, «Entry points specification»). */
const reference =
  /^([A-Za-z_]\w{0,127}(?:\.[A-Za-z_]\w{0,127}){0,15}):([A-Za-z_]\w{0,127}(?:\.[A-Za-z_]\w{0,127}){0,15})$/

/** The console scripts of an entry_points.txt: what each one calls, as `module:function`. */
export const readConsoleScripts = (text: string): Programs => {
  const found = new Map<string, string>()
  let section = ""
  for (const raw of text.split("\n")) {
    const line = raw.trim()
    if (line.startsWith("[")) section = line
    const cut = line.indexOf("=")
    if (section !== "[console_scripts]" || cut < 0 || line.startsWith("#") || line.startsWith(";")) continue
    const [called = ""] = line.slice(cut + 1).split("[", 1)
    const value = called.replaceAll(" ", "")
    if (reference.test(value)) found.set(line.slice(0, cut).trim(), value)
  }
  return found
}

/** The name in the form in which folders of installed packages have it, for comparison (PEP 503). */
const normal = (name: string): string => name.toLowerCase().replaceAll(/[-_.]+/g, "-")

const infoFolder = (site: string, name: string): string | undefined =>
  existsSync(site)
    ? readdirSync(site).find(
        (entry) => entry.endsWith(".dist-info") && normal(entry.slice(0, entry.indexOf("-"))) === normal(name),
      )
    : undefined

const scriptsIn = (site: string, name: string): Programs => {
  const folder = infoFolder(site, name)
  if (folder === undefined) return new Map()
  return readConsoleScripts(readBounded(join(site, folder, "entry_points.txt"), largestEntryPoints) ?? "")
}

/** Where the packages of a tree are. */
export const siteOf = (tree: string): string => join(tree, "site")

/** True if the package itself is in the tree. */
export const hasPythonPackage = ({ name }: Order, tree: string): boolean => infoFolder(siteOf(tree), name) !== undefined

/** Writes a launcher for each console script of the package into `bin` of the tree. */
export const writeLaunchers = ({ name }: Order, tree: string): void => {
  mkdirSync(join(tree, "bin"), { recursive: true })
  for (const [script, value] of scriptsIn(siteOf(tree), name)) {
    if (!patterns.bin.test(script)) continue
    const [module = "", attributes = ""] = value.split(":")
    writeFileSync(join(tree, "bin", script), launcherOf(script, module, attributes), { mode: 0o755 })
  }
}

/** The launcher of an installed Python package: its path from the tree. */
export const findPythonProgram = (order: Order, tree: string): string | Failure => {
  const { name, bin } = order
  const scripts = scriptsIn(siteOf(tree), name)
  if (bin !== undefined && !scripts.has(bin) && existsSync(join(siteOf(tree), "bin", bin)))
    return failure(
      `The program ${bin} of ${name} is no console script, so Python cannot run it. Use an image with command.`,
    )
  const chosen = chooseProgram(order, scripts, false)
  return "problem" in chosen ? chosen : join("bin", chosen.name)
}
