import { constants } from "node:fs"
import { mkdir, open, rename, rm, stat } from "node:fs/promises"
import { dirname } from "node:path"

/** The code of an error of the system, e.g. `ENOENT`; empty if it has none. */
export const codeOf = (error: unknown): string => (error instanceof Error && "code" in error ? String(error.code) : "")

/** Makes the folder if it is not there, for its owner alone. */
export const makePrivateFolder = async (folder: string): Promise<void> => {
  await mkdir(folder, { recursive: true, mode: 0o700 })
}

/** True if users besides the owner may change what is in the folder (or the file). */
export const othersMayWrite = async (path: string): Promise<boolean> => ((await stat(path)).mode & 0o022) !== 0

/** True if the folder (or the file) belongs to another user than the one this process runs as, who may change it at will. */
export const isOthers = async (path: string): Promise<boolean> => {
  const own = process.geteuid?.()
  return own !== undefined && (await stat(path)).uid !== own
}

/** A file that was not there, and no link: whoever left something under its name cannot say where is written. */
const newFile = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW

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
  // a crash may have left one
  await rm(draft, { force: true })
  const handle = await open(draft, newFile, 0o600)
  try {
    // the umask may have taken something away
    await handle.chmod(0o600)
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(draft, file)
  await syncFolder(dirname(file))
}
