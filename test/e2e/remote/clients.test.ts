/** What client libraries do, with servers that somebody else runs: the same suite as with Pods. */
import "../../support/serve-remotely.ts"
import "../clients.test.ts"
