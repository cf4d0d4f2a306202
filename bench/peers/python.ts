/** Which Python a peer gets. */
import { globSync } from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"
import { runCommand } from "./command.ts"

/** Versions that fit: minor versions of Python 3, the first one and the first one that is too new. */
export type PythonRange = { readonly from: number; readonly below?: number }

/** True if a text like `3.12` is a version in the range. */
export const fitsRange = (version: string, { from, below = Number.POSITIVE_INFINITY }: PythonRange): boolean => {
  const minor = /^3\.(\d{1,3})$/.exec(version.trim())?.[1]
  return minor !== undefined && Number(minor) >= from && Number(minor) < below
}

/** Programs that may be a Python, in the order in which they are tried. REFLOW_PYTHON names one that comes first. */
const candidates = (): readonly string[] => [
  ...(process.env.REFLOW_PYTHON === undefined ? [] : [process.env.REFLOW_PYTHON]),
  "python3",
  "python3.13",
  "python3.12",
  "python3.11",
  ...globSync(join(homedir(), ".pyenv/versions/3.*/bin/python3")).toSorted().reverse(),
]

const probeMs = 20_000
// a Python without ensurepip cannot make an environment that has pip
const probe = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"

/** The first Python on this machine whose version fits. Throws if there is none. */
export const findPython = async (range: PythonRange, cwd: string, signal: AbortSignal): Promise<string> => {
  for (const candidate of candidates()) {
    signal.throwIfAborted()
    const version = await runCommand(candidate, ["-c", probe], { cwd, limitMs: probeMs, signal }).catch(() => "")
    if (fitsRange(version, range)) return candidate
  }
  const below = range.below === undefined ? "" : ` and older than 3.${range.below}`
  throw new Error(`it needs a Python 3.${range.from} or newer${below}, with venv; REFLOW_PYTHON may name one`)
}
