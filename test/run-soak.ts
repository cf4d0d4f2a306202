/**
 * `npm run test:soak`: ten minutes of users who come and go (REFLOW_SOAK_MINUTES for another length) on a real cluster,
 * and faults that take their real time. Under five minutes the users are all there is, and what happens to them happens
 * faster. Arguments go to vitest. Prints figures, which stay in dist/soak.md, and `N passed, N failed` last.
 */
import { runOnCluster } from "./support/cluster-run.ts"

const isShort = Number(process.env.REFLOW_SOAK_MINUTES ?? "10") < 5
const args = process.argv.slice(2)
await runOnCluster("soak", args.length === 0 && isShort ? ["test/soak/"] : args, { REFLOW_SOAK: "1" })
