/**
 * `npm run test:kubernetes`: the tests against a real cluster. Arguments go to vitest. Prints `N passed, N failed` last.
 *
 * Without a cluster it says so loudly and succeeds, except with CI set: there it is a failure.
 */
import { type FoundCluster, findCluster, noCluster } from "./kubernetes/support/find-cluster.ts"
import { type Count, runVitest } from "./support/vitest-run.ts"

/** The cluster; undefined if this machine has none. One that was named or started in vain is an error. */
const search = async (): Promise<FoundCluster | Error | undefined> => {
  try {
    return await findCluster()
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}

const run = async (): Promise<Count> => {
  const found = await search()
  const args = process.argv.slice(2)
  if (found !== undefined && !(found instanceof Error))
    return runVitest(["kubernetes"], args, {
      KUBECONFIG: found.kubeconfig,
      // the audit of rights asks whether each one was used: only the whole suite uses them all
      ...(args.length === 0 ? { REFLOW_TEST_WHOLE: "1" } : {}),
    })
  const isFailure = found instanceof Error || (process.env.CI ?? "") !== ""
  console.warn(`!!! KUBERNETES TESTS ${isFailure ? "FAILED" : "SKIPPED"}: ${found?.message ?? noCluster} !!!`)
  return { passed: 0, failed: isFailure ? 1 : 0 }
}

const { passed, failed } = await run()
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
