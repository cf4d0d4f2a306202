import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, readFileSync } from "node:fs"
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { onTestFinished } from "vitest"
import { type InstallReport, readReport } from "../../src/api/install-report.ts"

const entry = join(import.meta.dirname, "../../src/install/entry.ts")

/** The folders of one installation. */
export type Place = {
  readonly root: string
  readonly folder: string
  readonly link: string
  readonly scratch: string
  readonly message: string
}

/** How an installer ended. */
export type Ended = {
  readonly code: number | null
  /** All that it wrote. */
  readonly output: string
  /** What it reported; undefined: nothing. */
  readonly report: InstallReport | undefined
  readonly seconds: number
}

/** A running installer. */
export type Installer = { readonly child: ChildProcess; readonly ended: Promise<Ended> }

/** What an installer is started with besides its flags. */
export type Start = {
  readonly place: Place
  /** Flags by name without dashes; true: a flag without value, undefined: no such flag. */
  readonly flags: Readonly<Record<string, string | true | undefined>>
  /** Variables besides those of this process. */
  readonly environment?: Readonly<Record<string, string>>
}

/** New folders, which go with the test. */
export const newPlace = async (): Promise<Place> => {
  const root = await mkdtemp(join(tmpdir(), "reflow-installer-"))
  onTestFinished(() => rm(root, { recursive: true, force: true }))
  return placeIn(root)
}

/** The folders of an installation in this one. */
export const placeIn = (root: string): Place => ({
  root,
  folder: join(root, "trees/digest"),
  link: join(root, "bin"),
  scratch: join(root, "scratch"),
  message: join(root, "message"),
})

/** Starts the installer as an init container does, with a scratch folder. */
export const startInstaller = ({ place, flags, environment = {} }: Start): Installer => {
  const all: Start["flags"] = {
    version: "1.0.0",
    folder: place.folder,
    link: place.link,
    scratch: place.scratch,
    "message-file": place.message,
    ...flags,
  }
  const args = Object.entries(all).flatMap(([name, value]) =>
    value === undefined ? [] : value === true ? [`--${name}`] : [`--${name}=${value}`],
  )
  const started = performance.now()
  const child = spawn(process.execPath, [entry, "--role", "install", ...args], {
    env: { ...process.env, ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  })
  let output = ""
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (piece: string) => {
      output += piece
    })
  const ended = once(child, "close").then(([code]) => ({
    code: code as number | null,
    output,
    report: existsSync(place.message) ? readReport(readFileSync(place.message, "utf8")) : undefined,
    seconds: (performance.now() - started) / 1_000,
  }))
  return { child, ended }
}

/** Runs the installer to its end. */
export const installWith = (start: Start): Promise<Ended> => startInstaller(start).ended

/** What a failed installation reports as wrong; throws if it did not fail so. */
export const problemOf = ({ code, report, output }: Ended): string => {
  if (code !== 1 || report?.kind !== "failed") throw new Error(`it ended with code ${code}: ${output}`)
  return report.problem
}

/** Runs an installed program by its link, and resolves with what it wrote. */
export const runLink = async (interpreter: string, link: string, args: readonly string[] = [], tools = "") => {
  const PATH = `${tools}${delimiter}${process.env.PATH}`
  const child = spawn(interpreter, [link, ...args], { env: { PATH }, stdio: ["ignore", "pipe", "inherit"] })
  let output = ""
  child.stdout.setEncoding("utf8").on("data", (piece: string) => {
    output += piece
  })
  await once(child, "close")
  return output
}

/** Files below a folder whose name or text has one of these texts. */
export const filesWith = async (folder: string, texts: readonly string[]): Promise<readonly string[]> => {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const found: string[] = []
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name)
    const content = entry.isFile() ? await readFile(path, "latin1") : ""
    if (texts.some((text) => path.includes(text) || content.includes(text))) found.push(path)
  }
  return found
}

/** Writes the files of a registry's Secret into a new folder of the place, and resolves with it. */
export const secretIn = async ({ root }: Place, files: Readonly<Record<string, string>>): Promise<string> => {
  const folder = join(root, "registry")
  await mkdir(folder)
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text)
  return folder
}
