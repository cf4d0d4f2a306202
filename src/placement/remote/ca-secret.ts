import { X509Certificate } from "node:crypto"
import { fromSecretData, secretKind } from "../../api/kinds/kubernetes.ts"
import type { MCPTarget } from "../../api/kinds/mcp-target.ts"
import { AppError } from "../../errors.ts"
import type { ClusterPort } from "../../ports/cluster.ts"

/** Largest caSecret, UTF-16 units: a few dozen certificates. */
const longestCA = 64 * 1024
/** Most texts of caSecrets that are shared by the compositions that use them. */
const mostKept = 100

const block = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]{1,65536}-----END CERTIFICATE-----/g

const isCertificate = (pem: string): boolean => {
  try {
    return new X509Certificate(pem).serialNumber !== ""
  } catch {
    return false
  }
}

/** The error for a caSecret that cannot be used. It never has anything of its content. */
const unusable = (target: MCPTarget, why: string): AppError =>
  new AppError("UpstreamUntrusted", {
    detail: `The Secret ${target.spec.remote?.caSecret} of ${target.metadata.name}'s remote.caSecret ${why}.`,
  })

/** The certificates (PEM) of the target's caSecret; undefined if it names none. Throws UpstreamUntrusted. */
type ReadCA = (target: MCPTarget, signal: AbortSignal) => Promise<string | undefined>

/** Makes the reader of caSecrets. Equal texts of one Secret are one text in memory, however many sharers use it. */
export const createCAReader = (cluster: ClusterPort, namespace: string): ReadCA => {
  const kept = new Map<string, string>()
  const keep = (name: string, ca: string): string => {
    const known = kept.get(name)
    if (known === ca) return known
    const [oldest] = kept.size >= mostKept ? kept.keys() : []
    if (oldest !== undefined) kept.delete(oldest)
    kept.set(name, ca)
    return ca
  }
  return async (target, signal) => {
    const name = target.spec.remote?.caSecret
    if (name === undefined) return undefined
    const secret = await cluster.get(secretKind, { namespace, name }, { signal })
    if (secret === undefined) throw unusable(target, "does not exist")
    const { "ca.crt": ca = "" } = fromSecretData(secret.data)
    if (kept.get(name) === ca) return keep(name, ca)
    const blocks = ca.length > longestCA ? [] : (ca.match(block) ?? [])
    if (blocks.length === 0) throw unusable(target, "has no certificates under the key ca.crt")
    if (!blocks.every(isCertificate))
      throw unusable(target, "has something under the key ca.crt that is no certificate")
    return keep(name, ca)
  }
}
