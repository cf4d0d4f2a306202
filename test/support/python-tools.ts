/** uv and pypiserver, installed once into a virtual environment of this repository. */
import { execFile } from "node:child_process"
import { randomBytes } from "node:crypto"
import { mkdir, rename, rm, stat } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"

const root = join(import.meta.dirname, "../..")
const pinned = ["uv==0.13.9", "pypiserver==2.4.2"]
const folder = join(root, "dist", `python-${pinned.join("-").replaceAll("==", "-")}`)

/** Paths of programs. */
export type PythonTools = { readonly python: string; readonly uv: string; readonly pypiServer: string }

const run = (command: string, args: readonly string[]) =>
  promisify(execFile)(command, [...args], { timeout: 240_000, maxBuffer: 2 ** 24 })

const install = async (): Promise<void> => {
  const exists = await stat(join(folder, "bin/uv")).catch(() => undefined)
  if (exists !== undefined) return
  await mkdir(join(root, "dist"), { recursive: true })
  const fresh = `${folder}-${randomBytes(4).toString("hex")}`
  await run(process.env.REFLOW_PYTHON ?? "python3", ["-m", "venv", fresh])
  await run(join(fresh, "bin/python3"), ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", ...pinned])
  // another process may have been faster
  await rename(fresh, folder).catch(() => rm(fresh, { recursive: true, force: true }))
}

/** Installs the tools unless they are there; fails without a Python or a package index. */
export const preparePythonTools = async (): Promise<PythonTools> => {
  await install()
  const bin = join(folder, "bin")
  return { python: join(bin, "python3"), uv: join(bin, "uv"), pypiServer: join(bin, "pypi-server") }
}
