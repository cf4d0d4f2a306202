import { createHash } from "node:crypto"
import { annotationOf } from "../../api/kinds/kind.ts"
import type { MCPTarget } from "../../api/kinds/mcp-target.ts"
import { labels } from "../../api/names.ts"
import { credentialNames } from "./headers.ts"

/**
 * The incarnation of a remote server for one sharer: sessions belong to it. A digest of what decides which account a
 * session has: the target's UID and last restart, the URL, the header templates, and the values of the scope Secrets
 * that the templates name. All replicas compute the same. Not in it: what resolvers return, since each replica may hold
 * its own short-lived value of the same account; and tool policy, access and all else of the target.
 *
 * It must only be in sealed session ids and in memory: it depends on secrets, which a short one would let be guessed.
 */
export const remoteIncarnation = (target: MCPTarget, scoped: Readonly<Record<string, string>>): string => {
  const { url, headers = [] } = target.spec.remote ?? {}
  const used = credentialNames(target).map((name) => [name, Object.hasOwn(scoped, name) ? scoped[name] : null])
  const templates = headers.map(({ name, value }) => [name, value])
  const restarted = annotationOf(target, labels.restartedTime) ?? null
  const facts = [target.metadata.uid, restarted, url, templates, used]
  return createHash("sha256").update(JSON.stringify(facts)).digest("base64url")
}
