import { execFile } from "node:child_process"
import { stat } from "node:fs/promises"
import { resolve } from "node:path"
import { promisify } from "node:util"

/** Builds and runs Helm, if it lies beside the repository. */
const workshop = resolve(import.meta.dirname, "../../../../shared/cluster/helm")

/** True if this program is Helm 4 or newer. Building one takes two minutes the first time on a machine. */
const isHelm = (command: string): Promise<boolean> =>
  promisify(execFile)(command, ["version"], { timeout: 600_000 }).then(
    ({ stdout }) => /Version:"v([4-9]|\d{2})/.test(stdout),
    () => false,
  )

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )

/** What a person reads when there is none. */
export const noHelm = "no Helm: install Helm 4 (https://helm.sh), to run the tests of the chart"

/**
 * Finds Helm: the program that HELM names, else `helm` in PATH, else the one beside the repository, which is built on
 * first use. Undefined if there is none; one that was named and cannot be run is an error.
 */
export const findHelm = async (): Promise<string | undefined> => {
  const named = process.env.HELM
  if (named !== undefined && named !== "") {
    if (await isHelm(named)) return named
    throw new Error(`HELM names ${named}, which is no Helm 4`)
  }
  if (await isHelm("helm")) return "helm"
  return (await exists(workshop)) && (await isHelm(workshop)) ? workshop : undefined
}
