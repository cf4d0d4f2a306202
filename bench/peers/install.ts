/** Installs peers into a cache folder, apart from the packages of this project. */
import { existsSync } from "node:fs"
import { mkdir, rm, writeFile } from "node:fs/promises"
import { homedir } from "node:os"
import { join } from "node:path"
import { runCommand } from "./command.ts"
import type { Pin } from "./pin.ts"
import { findPython } from "./python.ts"

/** Longest time for one command of an installation, milliseconds. Go compiles ToolHive from its source. */
const limitsMs = { npm: 180_000, python: 300_000, go: 1_800_000 } as const

/** The folder of all peers: `$XDG_CACHE_HOME/reflow-bench-peers`, or that in `~/.cache`. */
export const cacheFolder = (): string =>
  join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "reflow-bench-peers")

type Step = { readonly folder: string; readonly signal: AbortSignal }

const installNpm = async (pin: Extract<Pin, { registry: "npm" }>, { folder, signal }: Step): Promise<void> => {
  const manifest = { private: true, dependencies: { [pin.package]: pin.version } }
  await writeFile(join(folder, "package.json"), JSON.stringify(manifest))
  const args = ["install", "--no-audit", "--no-fund", "--ignore-scripts"]
  await runCommand("npm", args, { cwd: folder, limitMs: limitsMs.npm, signal })
}

const installPython = async (pin: Extract<Pin, { registry: "python" }>, { folder, signal }: Step): Promise<void> => {
  const options = { cwd: folder, limitMs: limitsMs.python, signal }
  const python = await findPython(pin.python, folder, signal)
  await runCommand(python, ["-m", "venv", folder], options)
  const pip = join(folder, "bin/python")
  await runCommand(
    pip,
    ["-m", "pip", "install", "--disable-pip-version-check", `${pin.package}==${pin.version}`],
    options,
  )
}

const installGo = async (pin: Extract<Pin, { registry: "go" }>, { folder, signal }: Step): Promise<void> => {
  const programs = pin.programs.map((program) => `${pin.module}/${program}@${pin.version}`)
  const env = { GOBIN: join(folder, "bin") }
  await runCommand("go", ["install", ...programs], { cwd: folder, env, limitMs: limitsMs.go, signal })
}

const installInto = (pin: Pin, step: Step): Promise<void> => {
  if (pin.registry === "npm") return installNpm(pin, step)
  return pin.registry === "python" ? installPython(pin, step) : installGo(pin, step)
}

/**
 * Installs a peer, unless this version is installed already; resolves with its folder. A folder without the file
 * `complete` is of an installation that was cut off, and is made again. Throws with a plain reason.
 */
export const install = async (pin: Pin, signal: AbortSignal): Promise<string> => {
  const folder = join(cacheFolder(), `${pin.name}-${pin.version}`)
  const complete = join(folder, "complete")
  if (existsSync(complete)) return folder
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  await installInto(pin, { folder, signal })
  await writeFile(complete, "")
  return folder
}
