/** Imported before a suite: its servers are remote ones. */
import { serveRemotely } from "./serving.ts"

serveRemotely()
