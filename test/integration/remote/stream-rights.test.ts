/** What open streams still may, with a server that somebody else runs: the same suite as with Pods. */
import "../../support/serve-remotely.ts"
import "../stream-rights.test.ts"
