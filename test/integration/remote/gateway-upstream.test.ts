/** Answers, their ends, and servers that cannot be reached, with a server that somebody else runs: the same suite as with Pods. */
import "../../support/serve-remotely.ts"
import "../gateway-upstream.test.ts"
