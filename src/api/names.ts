import { createHash, randomInt } from "node:crypto"
import { AppError } from "../errors.ts"
import { apiGroup } from "./kinds/kind.ts"

/** A target's name is its id everywhere: at most 40 characters, a DNS label that begins with a letter. */
export const targetNamePattern = /^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$/

/** {@link targetNamePattern} as the end of a message. */
export const targetNameText = "must be at most 40 characters of a-z, 0-9 and '-', beginning with a letter"

const alphabet = "abcdefghijklmnopqrstuvwxyz234567"

/**
 * The first `length` base32 characters (RFC 4648 §6, lower case; 5 bits each, at most 51) of SHA-256 over `parts`
 * joined by NUL, so that different parts are different bytes. Throws `Internal` for parts that would break this: a part
 * with an unpaired surrogate, which UTF-8 would write as U+FFFD, and a NUL before the last part. Callers check their
 * input before.
 */
export const digest = (length: number, ...parts: readonly string[]): string => {
  const text = parts.join("\0")
  if (!text.isWellFormed() || parts.slice(0, -1).some((part) => part.includes("\0")))
    throw new AppError("Internal", { detail: "A name that is not valid Unicode, or contains NUL, cannot be hashed." })
  const bytes = createHash("sha256").update(text).digest()
  let name = ""
  for (let index = 0; index < length; index++) {
    const bit = index * 5
    const pair = ((bytes[bit >> 3] ?? 0) << 8) | (bytes[(bit >> 3) + 1] ?? 0)
    name += alphabet[(pair >> (11 - (bit & 7))) & 31]
  }
  return name
}

/** Characters in the digest of an instance's name: 75 bits. */
const digestLength = 15

const keyKinds: readonly string[] = ["user", "group", "role", "shared"]

/** The part before the colon, e.g. `user` for `user:abc`; `key` if a plugin's strategy made the subject key. */
const keyKind = (subjectKey: string): string => {
  const kind = subjectKey.split(":", 1)[0] ?? ""
  return keyKinds.includes(kind) ? kind : "key"
}

/** The first `length` characters of a target's name, without hyphens at the end. */
const cutName = (name: string, length: number): string => {
  let end = Math.min(name.length, length)
  while (name.endsWith("-", end)) end--
  return name.slice(0, end)
}

/**
 * Name of the instance of a target for a subject key: `<target cut to 34>-<kind>-<digest>`, at most 57 characters. The
 * digest covers the target's UID and the whole subject key and is never cut, so instances of two targets whose names
 * begin alike, or of a target that was deleted and created again, have different names.
 */
export const instanceName = (targetName: string, targetUID: string, subjectKey: string): string =>
  `${cutName(targetName, 34)}-${keyKind(subjectKey)}-${digest(digestLength, targetUID, subjectKey)}`

/** Name of an instance's Pod: another name for each start, the same name if the same start is tried again. */
export const podName = (instance: string, instanceUID: string, starts: number): string =>
  `${instance}-${digest(5, instanceUID, String(starts))}`

/** A new name for a Secret with an instance's credentials; random, because each change makes a new immutable Secret. */
export const secretName = (instance: string): string => {
  let suffix = ""
  for (let index = 0; index < 5; index++) suffix += alphabet[randomInt(32)]
  return `${instance}-${suffix}`
}

/** The scopes of credential values, from the widest to the narrowest. */
export const credentialScopes = ["default", "role", "group", "user"] as const
export type CredentialScope = (typeof credentialScopes)[number]

/**
 * Name of the Secret that holds the values of one scope of a target. `owner` is absent for the scope `default`; for the
 * others it has the issuer's short name and the name of the role, group or subject.
 */
export const scopeSecretName = (
  targetName: string,
  scope: CredentialScope,
  owner?: { readonly issuer: string; readonly name: string },
): string => {
  const suffix = owner === undefined ? "" : `-${digest(digestLength, owner.issuer, owner.name)}`
  return `${targetName}-env-${scope}${suffix}`
}

/** The program's label and annotation keys. The prefix `mcp.reflow.io/` is reserved: pod templates cannot set it. */
export const labels = {
  /** Label: name of the target. */
  target: `${apiGroup}/target`,
  /** Label: name of the instance. */
  instance: `${apiGroup}/instance`,
  /** Label: name of the Pod. The Service selects by it, so that an older Pod that still terminates gets no requests. */
  pod: `${apiGroup}/pod`,
  /** Annotation: the readable subject, unless kubernetes.expose_subjects is false. */
  subject: `${apiGroup}/subject`,
  /**
   * Annotation on an instance: names of the scope Secrets of its credentials, also of absent ones, joined by commas.
   */
  credentialScopes: `${apiGroup}/credential-scopes`,
  /** Annotation on a Pod: hash of the instance's fields that the Pod was made from. */
  inputsHash: `${apiGroup}/inputs-hash`,
  /** Annotation on a Pod: revision of the operator's Pod defaults that the Pod was made with. */
  templateRevision: `${apiGroup}/template-revision`,
  /** Annotation on a Pod of a stdio server: how the bridge got into it, as in the instance's `status.bridge`. */
  bridge: `${apiGroup}/bridge`,
  /** Annotation on a Pod of the embedded cluster: the port that its node gave to the process. */
  nodePort: `${apiGroup}/node-port`,
  /** Label on a scope Secret: default, role, group or user. */
  scope: `${apiGroup}/scope`,
  /** Annotation on a scope Secret: when a gateway last wrote it (RFC 3339). */
  updatedTime: `${apiGroup}/updated-time`,
  /**
   * Annotation on a target whose server is remote: when its sessions were last ended by a restart (RFC 3339).
   */
  restartedTime: `${apiGroup}/restarted-time`,
  /**
   * Annotation on a target that was made of a server.json: JSON with the document's name, version and SHA-256.
   */
  serverJson: `${apiGroup}/server-json`,
} as const

/** The labels that Kubernetes recommends, for every object that this program creates for an instance. */
export const recommendedLabels = (instance: string): Readonly<Record<string, string>> => ({
  "app.kubernetes.io/name": "mcp-server",
  "app.kubernetes.io/managed-by": "reflow",
  "app.kubernetes.io/part-of": "reflow-gateway",
  "app.kubernetes.io/instance": instance,
})
