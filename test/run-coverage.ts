/**
 * `npm run test:coverage`: how much of src/ the unit and integration tests run, as a table and in coverage/. Fails below
 * the thresholds of vitest.config.ts. Arguments go to vitest. Prints `N passed, N failed` last.
 */
import { runVitest } from "./support/vitest-run.ts"

const { passed, failed } = await runVitest(["unit", "integration"], ["--coverage", ...process.argv.slice(2)])
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
