/**
 * `npm run test:kubernetes`: the tests against a real cluster. Arguments go to vitest. Prints `N passed, N failed` last.
 *
 * The whole suite first makes every image known to the cluster, and then runs files that keep to their own namespaces two
 * at once. Chosen files run one after the other: each makes the images that it needs, which two must not do at once.
 */
import { runOnCluster } from "./support/cluster-run.ts"

const args = process.argv.slice(2)
const projects = ["kubernetes", "installation", "audit"]
// the audit of rights asks whether each one was used: only the whole suite uses them all
if (args.length === 0) await runOnCluster({ name: "kubernetes", projects, args, env: { REFLOW_TEST_WHOLE: "1" } })
else await runOnCluster({ name: "kubernetes", projects, args: [...args, "--maxWorkers=1"] })
