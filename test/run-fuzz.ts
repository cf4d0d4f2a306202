/**
 * `npm run test:fuzz`: a minute of hostile texts for everything that reads what strangers send (REFLOW_FUZZ_SECONDS for
 * another length, all properties together). A failure prints its seed: REFLOW_FUZZ_SEED repeats it. Arguments go to
 * vitest. Prints `N passed, N failed` last.
 */
import { runVitest } from "./support/vitest-run.ts"

const seconds = process.env.REFLOW_FUZZ_SECONDS ?? "60"
const { passed, failed } = await runVitest(["fuzz"], process.argv.slice(2), { REFLOW_FUZZ_SECONDS: seconds })
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
