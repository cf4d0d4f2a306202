/** Tool policies, with a server that somebody else runs: the same suite as with Pods. */
import "../../support/serve-remotely.ts"
import "../tool-policy.test.ts"
