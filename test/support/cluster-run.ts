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

type Run = {
  /** What the tests are called where they are skipped. */
  readonly name: string
  /** Vitest's projects, see vitest.config.ts. */
  readonly projects: readonly string[]
  /** Arguments of vitest. */
  readonly args: readonly string[]
  /** Environment variables besides this process's own. */
  readonly env?: NodeJS.ProcessEnv
}

const count = async ({ name, projects, args, env }: Run): Promise<Count> => {
  const found = await search()
  if (found !== undefined && !(found instanceof Error))
    return runVitest(projects, args, { KUBECONFIG: found.kubeconfig, ...env })
  const isFailure = found instanceof Error || (process.env.CI ?? "") !== ""
  const title = `${name.toUpperCase()} TESTS ${isFailure ? "FAILED" : "SKIPPED"}`
  console.warn(`!!! ${title}: ${found?.message ?? noCluster} !!!`)
  return { passed: 0, failed: isFailure ? 1 : 0 }
}

/**
 * Runs vitest's projects on a real cluster and ends this process with their result; prints `N passed, N failed` last.
 *
 * Without a cluster it says so loudly and succeeds, except with CI set: there it is a failure.
 */
export const runOnCluster = async (run: Run): Promise<void> => {
  const { passed, failed } = await count(run)
  console.log(`${passed} passed, ${failed} failed`)
  process.exitCode = failed === 0 ? 0 : 1
}
