/**
 * `npm run test:growth`: every door for foreign text, fed with worst cases up to its limit. Fails if one input costs more
 * CPU than as many small ones, or holds the event loop for too long. It runs alone: nothing else should run beside it.
 * Arguments go to vitest. Prints `N passed, N failed` last.
 */
import { runVitest } from "./support/vitest-run.ts"

const { passed, failed } = await runVitest(["growth"], process.argv.slice(2))
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
