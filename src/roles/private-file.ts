import { chmod, mkdir, open, rename, stat } from "node:fs/promises"
import { dirname } from "node:path"

/** The code of an error of the system, e.g. `ENOENT`; empty if it has none. */
export const codeOf = (error: unknown): string => (error instanceof Error && "code" in error ? String(error.code) : "")

/** Makes the folder if it is not there, for its owner alone. */
export const makePrivateFolder = async (folder: string): Promise<void> => {
  await mkdir(folder, { recursive: true, mode: 0o700 })
}

/** True if users besides the owner may change what is in the folder (or the file). */
export const othersMayWrite = async (path: string): Promise<boolean> => ((await stat(path)).mode & 0o022) !== 0

/** Tells the disk of a new name in a folder. Some file systems cannot; they keep it in their own way. */
const syncFolder = async (folder: string): Promise<void> => {
  try {
    const handle = await open(folder, "r")
    await handle.sync().finally(() => handle.close())
  } catch {
    // the file itself is written
  }
}

/**
 * Writes a file that only its owner can read, whole or not at all: a crash leaves the file as it was before, or as it
 * is after. Two must not write one file at the same time.
 */
export const writePrivately = async (file: string, text: string): Promise<void> => {
  const draft = `${file}.draft`
  const handle = await open(draft, "w", 0o600)
  try {
    // a draft that a crash left keeps its mode, and the umask may have taken something away
    await chmod(draft, 0o600)
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(draft, file)
  await syncFolder(dirname(file))
}
