/** Folders for the files of programs that are measured. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** A folder that is removed with {@link Scratch.remove}, or when this process exits. */
export type Scratch = { readonly folder: string; remove(): void }

/** Makes an empty folder whose name begins with `name`. */
export const makeScratch = (name: string): Scratch => {
  const folder = mkdtempSync(join(tmpdir(), `${name}-`))
  const wipe = () => rmSync(folder, { recursive: true, force: true })
  process.once("exit", wipe)
  return {
    folder,
    remove: () => {
      process.off("exit", wipe)
      wipe()
    },
  }
}
