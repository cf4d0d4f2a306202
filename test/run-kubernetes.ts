/** `npm run test:kubernetes`: the tests against a real cluster. Arguments go to vitest. Prints `N passed, N failed` last. */
import { runOnCluster } from "./support/cluster-run.ts"

const args = process.argv.slice(2)
// the audit of rights asks whether each one was used: only the whole suite uses them all
await runOnCluster("kubernetes", args, args.length === 0 ? { REFLOW_TEST_WHOLE: "1" } : {})
