import { createHash, randomBytes } from "node:crypto"
import { bootstrapSecretName } from "../adapters/kube/access.ts"
import { type Secret, secretKind } from "../api/kinds/kubernetes.ts"
import type { Config } from "../config/schema.ts"
import { AppError, hasCode } from "../errors.ts"
import { configuredIssuers, staticIssuer } from "../identity/access.ts"
import type { CallOptions, ClusterPort, ObjectRef } from "../ports/cluster.ts"

/** Name and subject of the bootstrap token. */
export const bootstrapSubject = "bootstrap-admin"

type Auth = Config["auth"]

/** True if no configured token or issuer could give a caller administrator rights in the REST API. */
export const needsBootstrapToken = ({ tokens, issuers, admin_roles: adminRoles }: Auth): boolean =>
  adminRoles.length > 0 &&
  issuers.length === 0 &&
  !tokens.some((token) => token.for.includes("api") && token.roles.some((role) => adminRoles.includes(role)))

/**
 * Short names of all issuers on a real cluster, `static` included if the bootstrap token (a static token) is accepted.
 */
export const clusterIssuers = (auth: Auth): readonly string[] => {
  const known = configuredIssuers(auth, { dev: false })
  return needsBootstrapToken(auth) && !known.includes(staticIssuer) ? [staticIssuer, ...known] : known
}

/** Minimum length of the token, in characters; a Secret made by hand could hold a shorter one. */
const shortest = 32

/** Characters allowed in a bearer token (RFC 6750 §2.1). */
const tokenPattern = /^[A-Za-z0-9\-._~+/]+=*$/

const readToken = ({ metadata, data }: Secret): string => {
  const token = Buffer.from(data?.token ?? "", "base64")
    .toString("utf8")
    .trim()
  if (token.length >= shortest && tokenPattern.test(token)) return token
  const detail = `The Secret ${metadata.namespace}/${metadata.name} has no usable key 'token': delete it, and a new one is made at the next start.`
  throw new AppError("ConfigInvalid", { detail })
}

const create = async (cluster: ClusterPort, ref: ObjectRef, options: CallOptions): Promise<Secret | undefined> => {
  const { apiVersion, kind } = secretKind
  const token = randomBytes(32).toString("base64url")
  const data = { token: Buffer.from(token).toString("base64") }
  try {
    return await cluster.create(secretKind, { apiVersion, kind, metadata: { ...ref }, type: "Opaque", data }, options)
  } catch (error) {
    if (hasCode(error, "ApiAlreadyExists")) return undefined
    throw error
  }
}

/**
 * The token of the first administrator, as an entry of auth.tokens. Reads it from its Secret and creates the Secret if
 * it does not exist. Replicas that start together all get the token of the Secret that was created first. Throws
 * `ConfigInvalid` if the Secret holds no usable token, and `ApiNotFound` if it was deleted meanwhile.
 */
export const ensureBootstrapToken = async (
  cluster: ClusterPort,
  at: { readonly namespace: string; readonly adminRole: string; readonly signal: AbortSignal },
): Promise<Auth["tokens"][number]> => {
  const ref = { namespace: at.namespace, name: bootstrapSecretName }
  const options = { signal: at.signal }
  const found = (await cluster.get(secretKind, ref, options)) ?? (await create(cluster, ref, options))
  const secret = found ?? (await cluster.get(secretKind, ref, options))
  if (secret === undefined)
    throw new AppError("ApiNotFound", { detail: `The Secret ${ref.name} was deleted meanwhile.` })
  return {
    name: bootstrapSubject,
    sha256: createHash("sha256").update(readToken(secret)).digest("hex"),
    subject: bootstrapSubject,
    roles: [at.adminRole],
    groups: [],
    for: ["mcp", "api"],
  }
}
