/**
 * `npm run test:soak`: ten minutes of users who come and go (REFLOW_SOAK_MINUTES for another length) on a real cluster,
 * faults that take their real time, calls that are silent for six minutes, and days of the embedded cluster by other
 * seeds each time. Under five minutes the users come and go faster, calls are silent for two minutes only, and only the
 * longest of the faults are there. Arguments go to vitest. Prints figures, which stay in dist/soak.md, and
 * `N passed, N failed`.
 */
import { runOnCluster } from "./support/cluster-run.ts"

const minutes = Number(process.env.REFLOW_SOAK_MINUTES ?? "10")
const days = Math.min(Math.ceil(5 * minutes), 100)
const short = ["test/soak/", "simulated-day"]
const args = process.argv.slice(2)
await runOnCluster({
  name: "soak",
  projects: ["soak"],
  args: args.length === 0 && minutes < 5 ? short : args,
  env: { REFLOW_SOAK: String(days) },
})
