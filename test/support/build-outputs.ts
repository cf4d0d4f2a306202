import { execFile } from "node:child_process"
import { resolve } from "node:path"
import { promisify } from "node:util"

const root = resolve(import.meta.dirname, "../..")

/** Builds dist/ once, before the first test of a run that drives the built program. */
export const setup = async (): Promise<void> => {
  await promisify(execFile)(process.execPath, ["build.config.ts"], { cwd: root })
}
