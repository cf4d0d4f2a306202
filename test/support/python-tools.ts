/**
 * Python, uv and pypiserver for tests, in the versions of python-tools.txt: a virtual environment that is made once, in
 * `REFLOW_PYTHON_TOOLS`, or else in the user's cache folder.
 */
import { execFile } from "node:child_process"
import { existsSync } from "node:fs"
import { mkdir, readFile, rm, rmdir, stat, writeFile } from "node:fs/promises"
import { homedir } from "node:os"
import { dirname, join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { promisify } from "node:util"

const execute = promisify(execFile)
const requirements = join(import.meta.dirname, "python-tools.txt")

/** The environment's folder; its `bin` has python3, uv and pypi-server. */
const folder = process.env.REFLOW_PYTHON_TOOLS ?? join(homedir(), ".cache", "reflow-python-tools")
const stamp = join(folder, "made-of.txt")

/** How long another test file may take to make it, milliseconds. */
const longestMs = 600_000

const isMade = async (): Promise<boolean> =>
  existsSync(stamp) && (await readFile(stamp, "utf8")) === (await readFile(requirements, "utf8"))

const run = (command: string, args: readonly string[]) => execute(command, [...args], { timeout: longestMs })

/** Debian and its relatives have the module venv, and pip in it, in packages of their own. */
const installPython = async (): Promise<void> => {
  const root = process.getuid?.() === 0 ? [] : ["sudo", "-n"]
  for (const args of [["update", "-q"], "install -q -y --no-install-recommends python3 python3-venv".split(" ")]) {
    const [command = "", ...rest] = [...root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", ...args]
    await run(command, rest)
  }
}

const make = async (): Promise<void> => {
  await rm(folder, { recursive: true, force: true })
  const environment = () => run("python3", ["-m", "venv", folder])
  await environment().catch(async () => {
    await installPython()
    await rm(folder, { recursive: true, force: true })
    await environment()
  })
  const pip = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--retries", "2", "-r", requirements]
  await run(join(folder, "bin/python"), pip)
  await writeFile(stamp, await readFile(requirements))
}

/** Calls `work` while no other process does so. */
const alone = async (work: () => Promise<void>): Promise<void> => {
  const lock = `${folder}.lock`
  await mkdir(dirname(lock), { recursive: true })
  for (;;) {
    try {
      await mkdir(lock)
      break
    } catch {
      const found = await stat(lock).catch(() => undefined)
      if (found !== undefined && Date.now() - found.mtimeMs > longestMs) await rmdir(lock).catch(() => {})
      await sleep(200)
    }
  }
  try {
    await work()
  } finally {
    await rmdir(lock)
  }
}

/** Makes the tools if they are not there, and resolves with the paths of their programs. Rejects if that cannot be done. */
export const preparePythonTools = async (): Promise<{ readonly python: string; readonly uv: string }> => {
  if (!(await isMade()))
    await alone(async () => {
      if (!(await isMade())) await make()
    })
  return { python: join(folder, "bin/python3"), uv: join(folder, "bin/uv") }
}

/**
 * Makes the tools if they are not there, and resolves with the folder that has python3, uv and pypi-server. Undefined if
 * this machine cannot have them, which is said loudly; where everything must hold (CI is set), it rejects instead.
 */
export const pythonTools = async (): Promise<string | undefined> => {
  try {
    const { python } = await preparePythonTools()
    return dirname(python)
  } catch (cause) {
    if ((process.env.CI ?? "") !== "") throw new Error("the Python tools of the tests cannot be made", { cause })
    console.warn(`!!! TESTS WITH uv SKIPPED: ${cause instanceof Error ? cause.message : cause} !!!`)
    return undefined
  }
}
