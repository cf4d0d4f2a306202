import { randomBytes } from "node:crypto"
import { existsSync } from "node:fs"
import { mkdir, readdir, rename, rm, stat, symlink, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { systemCode } from "../errors.ts"
import { problems } from "./problems.ts"

/** Beginning of the names of trees that are not complete. */
const unfinished = ".new-"

/** Age at which nobody can be working on an unfinished tree any more, milliseconds. */
const leftoverMs = 3_600_000

/** Creates a folder for a tree beside the place where it belongs. */
export const createUnfinished = async (folder: string): Promise<string> => {
  const path = join(folder, `${unfinished}${randomBytes(9).toString("hex")}`)
  // not mkdtemp, whose folders nobody else may read
  await mkdir(path, { recursive: true })
  return path
}

/**
 * Puts a complete tree at its place, which it takes in one step. If another installer was faster, its tree stays and this
 * one is deleted.
 */
export const publish = async (tree: string, place: string): Promise<void> => {
  try {
    await rename(tree, place)
  } catch (error) {
    if (!existsSync(place)) throw error
    await remove(tree)
  }
}

/** Deletes a file or folder with all that is in it, as far as possible. */
export const remove = (path: string): Promise<void> =>
  rm(path, { recursive: true, force: true, maxRetries: 2 }).catch(() => undefined)

/** Deletes the unfinished trees that installers left which were killed. `now`: milliseconds of the epoch. */
export const removeLeftovers = async (folder: string, now: number): Promise<void> => {
  const names = (await readdir(folder)).filter((name) => name.startsWith(unfinished))
  for (const name of names) {
    const found = await stat(join(folder, name)).catch(() => undefined)
    if (found !== undefined && now - found.mtimeMs > leftoverMs) await remove(join(folder, name))
  }
}

/** Makes `link` a symbolic link to `target` in one step, whatever it was before. */
export const setLink = async (link: string, target: string): Promise<void> => {
  await mkdir(dirname(link), { recursive: true })
  const beside = `${link}${unfinished}${randomBytes(9).toString("hex")}`
  await symlink(target, beside)
  try {
    await rename(beside, link)
  } catch (error) {
    await remove(beside)
    throw error
  }
}

/** Makes a file with this sentence; removes it for an empty one. A failure is no reason to run no server. */
export const setHint = async (file: string, text: string): Promise<void> => {
  await mkdir(dirname(file), { recursive: true })
  if (text === "") return remove(file)
  const beside = `${file}${unfinished}${randomBytes(9).toString("hex")}`
  await writeFile(beside, `${text}\n`)
    .then(() => rename(beside, file))
    .catch(() => remove(beside))
}

/** What to do about an error of the file system; undefined if it is none. */
export const explainFileError = (error: unknown): string | undefined => {
  switch (systemCode(error)) {
    case "ENOSPC":
    case "EDQUOT":
      return problems.fullDisk()
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return `A folder cannot be written: ${(error as Error).message}. Let the container's user write to the volume, e.g. by fsGroup.`
    case "":
      return undefined
    default:
      return `The file system refuses: ${(error as Error).message}.`
  }
}
