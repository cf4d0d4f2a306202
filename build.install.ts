/**
 * The last step of `npm ci` (`prepare` in package.json). If npm itself runs on an old Node, it leaves out optional
 * packages that need a newer one, such as the native parts of tools. But every script here runs on the Node of
 * node_modules, so this step installs the packages that fit that Node. Without it, `npm ci && npm test` would fail on
 * Debian 12 (Node 18).
 */
import { spawnSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { pathToFileURL } from "node:url"

/** A package of package-lock.json, with only the fields that are used here. */
export type LockedPackage = {
  readonly optional?: boolean
  readonly os?: readonly string[]
  readonly cpu?: readonly string[]
  readonly libc?: readonly string[]
}

/** The machine that packages are installed for, with names as in package.json: `linux`, `x64`. */
export type Machine = {
  readonly os: string
  readonly cpu: string
  /** Undefined on systems with only one C library, such as macOS. */
  readonly libc: "glibc" | "musl" | undefined
}

/** Folders of optional native packages for this machine that package-lock.json names and that are not installed. */
export const leftOut = (
  packages: Readonly<Record<string, LockedPackage>>,
  { os, cpu, libc }: Machine,
  isInstalled: (folder: string) => boolean,
): readonly string[] =>
  Object.entries(packages).flatMap(([folder, locked]) => {
    const isNative = locked.optional === true && locked.os?.includes(os) === true && locked.cpu?.includes(cpu) === true
    const fits = locked.libc === undefined || libc === undefined || locked.libc.includes(libc)
    return isNative && fits && !isInstalled(folder) ? [folder] : []
  })

const libcHere = (): Machine["libc"] => {
  if (process.platform !== "linux") return undefined
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } }
  return header.glibcVersionRuntime === undefined ? "musl" : "glibc"
}

const complete = (): void => {
  const { npm_execpath: npm } = process.env
  const { packages } = JSON.parse(readFileSync("package-lock.json", "utf8"))
  const machine: Machine = { os: process.platform, cpu: process.arch, libc: libcHere() }
  const missing = leftOut(packages, machine, existsSync)
  if (missing.length === 0 || npm === undefined) return
  const args = [npm, "install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
  spawnSync(process.execPath, args, { stdio: "inherit" })
  const absent = missing.filter((folder) => !existsSync(folder))
  if (absent.length > 0)
    console.warn(`these packages could not be installed, so some scripts may not work: ${absent.join(", ")}`)
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href || process.argv[1] === undefined) complete()
