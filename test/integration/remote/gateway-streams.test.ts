/** Streams that are silent for hours, and slow readers, with a server that somebody else runs: the same suite as with Pods. */
import "../../support/serve-remotely.ts"
import "../gateway-streams.test.ts"
