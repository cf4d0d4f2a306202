/** The entry of dist/bridge.mjs. */
import { runBridge } from "./main.ts"

process.exit(await runBridge(process.argv.slice(2)))
