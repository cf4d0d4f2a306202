import { accessSync, constants, statSync } from "node:fs"
import { delimiter, isAbsolute, join, resolve } from "node:path"

/** Where to look for a program. */
export type ProgramPlace = {
  /** The container's PATH. */
  readonly path: string
  readonly workingDirectory: string
}

/** Why a program cannot run, in the words of container runtimes; undefined if it can. */
export const whyNotRunnable = (name: string, place: ProgramPlace): string | undefined => {
  if (!isDirectory(place.workingDirectory)) return `working directory "${place.workingDirectory}" does not exist`
  if (name === "") return 'exec: "": no command'
  if (name.includes("/")) return whyNotFile(name, resolve(place.workingDirectory, name))
  const folders = place.path
    .split(delimiter)
    .map((folder) => (isAbsolute(folder) ? folder : resolve(place.workingDirectory, folder)))
  const reasons = folders.map((folder) => whyNotFile(name, join(folder, name)))
  if (reasons.includes(undefined)) return undefined
  return reasons.find((reason) => reason?.endsWith(denied)) ?? `exec: "${name}": executable file not found in $PATH`
}

const denied = "permission denied"

const isDirectory = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true

const whyNotFile = (name: string, path: string): string | undefined => {
  try {
    if (statSync(path).isDirectory()) return `exec: "${name}": is a directory`
    accessSync(path, constants.X_OK)
    return undefined
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined
    return `exec: "${name}": ${code === "EACCES" ? denied : "no such file or directory"}`
  }
}
