import { chmodSync, cpSync, existsSync, realpathSync } from "node:fs"
import { dirname, join } from "node:path"
import { AppError } from "../errors.ts"

/** What the folder of the bridge has: the program starts by them in an image of any libc, or of none. */
const parts = ["loader", "lib", "reflow"]

/**
 * Copies the folder of the executable, with loader and libraries, for a Pod whose nodes mount no image volumes.
 * `program`: process.execPath. Throws UsageInvalid where the folder is not complete, as everywhere but in the image.
 */
export const installBridge = (program: string, folder: string): void => {
  const own = dirname(realpathSync(program))
  if (parts.some((name) => !existsSync(join(own, name))))
    throw new AppError("UsageInvalid", {
      detail: `${own} has no loader and libraries: --install runs in the image only.`,
    })
  for (const name of parts) cpSync(join(own, name), join(folder, name), { recursive: true, dereference: true })
  for (const name of ["loader", "reflow"]) chmodSync(join(folder, name), 0o755)
}
