import { accessSync, constants, statSync } from "node:fs"
import { delimiter, isAbsolute, join, resolve } from "node:path"

/** Where to look for a program. */
export type ProgramPlace = {
  /** The container's PATH. */
  readonly path: string
  readonly workingDirectory: string
}

/**
 * Why a program cannot run, in the words of container runtimes; undefined if it can. They show it as `shown`: the Pod's
 * own word for it, since `$(NAME)` in that may stand for a secret.
 */
export const whyNotRunnable = (name: string, place: ProgramPlace, shown: string): string | undefined => {
  if (!isDirectory(place.workingDirectory)) return `working directory "${place.workingDirectory}" does not exist`
  const because = (reason: string | undefined) => (reason === undefined ? undefined : `exec: "${shown}": ${reason}`)
  if (name === "") return because("no command")
  if (name.includes("/")) return because(whyNotFile(resolve(place.workingDirectory, name)))
  const folders = place.path
    .split(delimiter)
    .map((folder) => (isAbsolute(folder) ? folder : resolve(place.workingDirectory, folder)))
  const reasons = folders.map((folder) => whyNotFile(join(folder, name)))
  if (reasons.includes(undefined)) return undefined
  return because(reasons.includes(denied) ? denied : "executable file not found in $PATH")
}

const denied = "permission denied"

const isDirectory = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true

const whyNotFile = (path: string): string | undefined => {
  try {
    if (statSync(path).isDirectory()) return "is a directory"
    accessSync(path, constants.X_OK)
    return undefined
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined
    return code === "EACCES" ? denied : "no such file or directory"
  }
}
