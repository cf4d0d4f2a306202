import { type FoundCluster, findCluster, noCluster } from "../kubernetes/support/find-cluster.ts"
import { type Count, runVitest } from "./vitest-run.ts"

/** The cluster; undefined if this machine has none. One that was named or started in vain is an error. */
const search = async (): Promise<FoundCluster | Error | undefined> => {
  try {
    return await findCluster()
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}

const count = async (project: string, args: readonly string[], more: NodeJS.ProcessEnv): Promise<Count> => {
  const found = await search()
  if (found !== undefined && !(found instanceof Error))
    return runVitest([project], args, { KUBECONFIG: found.kubeconfig, ...more })
  const isFailure = found instanceof Error || (process.env.CI ?? "") !== ""
  const title = `${project.toUpperCase()} TESTS ${isFailure ? "FAILED" : "SKIPPED"}`
  console.warn(`!!! ${title}: ${found?.message ?? noCluster} !!!`)
  return { passed: 0, failed: isFailure ? 1 : 0 }
}

/**
 * Runs a vitest project on a real cluster and ends this process with its result; prints `N passed, N failed` last.
 *
 * Without a cluster it says so loudly and succeeds, except with CI set: there it is a failure.
 */
export const runOnCluster = async (
  project: string,
  args: readonly string[],
  more: NodeJS.ProcessEnv = {},
): Promise<void> => {
  const { passed, failed } = await count(project, args, more)
  console.log(`${passed} passed, ${failed} failed`)
  process.exitCode = failed === 0 ? 0 : 1
}
