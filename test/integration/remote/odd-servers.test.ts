/** Servers that are unlike others, with a server that somebody else runs: the same suite as with Pods. */
import "../../support/serve-remotely.ts"
import "../odd-servers.test.ts"
