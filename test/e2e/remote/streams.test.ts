/** Calls, streams and their ends, with servers that somebody else runs: the same suite as with Pods. */
import "../../support/serve-remotely.ts"
import "../streams.test.ts"
