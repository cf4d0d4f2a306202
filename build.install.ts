/**
 * The last step of `npm ci` (`prepare` in package.json). npm leaves out optional packages, native parts of tools among
 * them, if the Node that npm runs on is too old for them; but every script here runs on the Node of node_modules. So what
 * fits this one is installed, too. Without it `npm ci && npm test` would fail on Debian 12's Node 18.
 */
import { spawnSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { pathToFileURL } from "node:url"

/** A package of package-lock.json, as far as it is needed here. */
export type LockedPackage = {
  readonly optional?: boolean
  readonly os?: readonly string[]
  readonly cpu?: readonly string[]
  readonly libc?: readonly string[]
}

/** What packages are installed for. */
export type Machine = {
  readonly os: string
  readonly cpu: string
  /** Undefined where there is only one, as on macOS. */
  readonly libc: "glibc" | "musl" | undefined
}

/** Folders of the lock's packages that are made for this machine alone and are not installed. */
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
  if (absent.length > 0) console.warn(`not installed, so that some scripts may not work: ${absent.join(", ")}`)
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href || process.argv[1] === undefined) complete()
