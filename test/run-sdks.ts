/**
 * `npm run test:sdks`: programs made with the official SDKs of TypeScript, Python, Go and Java, and with FastMCP, as servers
 * behind the gateway and as clients in front of it, each with each. Installs them in the versions of the lock files in
 * test/sdks, once, into a cache folder. A language that the machine lacks is skipped loudly; its tests count as skipped.
 * Arguments go to vitest. Prints `N passed, N failed` last, before it `N skipped` if any were.
 */
import { runVitest } from "./support/vitest-run.ts"

const { passed, failed, skipped = 0 } = await runVitest(["sdks"], process.argv.slice(2))
if (skipped > 0) console.log(`${skipped} skipped`)
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
