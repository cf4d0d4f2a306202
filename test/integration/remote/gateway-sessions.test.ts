/** Sessions, and what ends them, with a server that somebody else runs: the same suite as with Pods. */
import "../../support/serve-remotely.ts"
import "../gateway-sessions.test.ts"
