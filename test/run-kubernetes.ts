/**
 * `npm run test:kubernetes`: the tests against a real cluster. Arguments go to vitest. Prints `N passed, N failed` last.
 *
 * Without a cluster it says so loudly and succeeds, except with CI set: there it is a failure.
 */
import { type FoundCluster, findCluster, noCluster } from "./kubernetes/support/find-cluster.ts"
import { type Count, runVitest } from "./support/vitest-run.ts"

const search = async (): Promise<FoundCluster | Error> => {
  try {
    return (await findCluster()) ?? new Error(noCluster)
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}

const run = async (): Promise<Count> => {
  const found = await search()
  if (!(found instanceof Error))
    return runVitest(["kubernetes"], process.argv.slice(2), { KUBECONFIG: found.kubeconfig })
  const isCI = (process.env.CI ?? "") !== ""
  console.warn(`!!! KUBERNETES TESTS ${isCI ? "FAILED" : "SKIPPED"}: ${found.message} !!!`)
  return { passed: 0, failed: isCI ? 1 : 0 }
}

const { passed, failed } = await run()
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
