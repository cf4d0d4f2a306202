/** The entry of dist/install.mjs. */
import { runInstall } from "./main.ts"

process.exit(await runInstall(process.argv.slice(2)))
