/** Two users with live sessions, with servers that somebody else runs: the same suite as with Pods. */
import "../../support/serve-remotely.ts"
import "../crossing.test.ts"
