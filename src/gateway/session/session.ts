import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto"
import type { MCPTarget } from "../../api/kinds/mcp-target.ts"
import { AppError } from "../../errors.ts"
import type { Identity } from "../../identity/identity.ts"
import { isRecord, type Params } from "../../mcp/message.ts"
import type { Placement } from "../../placement/port.ts"
import type { SessionKey, SessionKeys } from "./session-keys.ts"

/** The content of a session id that the gateway issued. */
export type OpenSession = {
  /** The id as the client knows it. */
  readonly sealed: string
  /** The id as the server gave it. */
  readonly upstreamId: string
  readonly instanceUID: string
  readonly incarnation: string
  /** When it was sealed, milliseconds since the epoch. */
  readonly issuedAt: number
  /** Parameters of the client's initialize, to open the session again on a new instance; only of stateless targets. */
  readonly initialize: Params | undefined
}

/** The user and the target of a session: for any other, its id cannot be opened. */
type SessionOwner = { readonly identity: Identity; readonly targetUID: string }

/** Seals and opens session ids. */
export type SessionSealer = {
  /**
   * `base64url(key id ‖ iv ‖ tag ‖ AES-256-GCM)` of the server's session id, its instance and its incarnation. Throws
   * UpstreamInvalid if the result is too long for a header.
   */
  seal(
    owner: SessionOwner,
    placement: Placement,
    session: { readonly upstreamId: string; readonly initialize: Params | undefined },
  ): string
  /**
   * Throws SessionNotFound for an id that no gateway sealed, that belongs to another user or another target, or that
   * has expired. A promise only for a key that this replica does not know yet; rejects with ClusterUnavailable if the
   * keys cannot be read.
   */
  open(owner: SessionOwner, sealed: string): OpenSession | Promise<OpenSession>
}

const keyIdBytes = 4
const ivBytes = 12
const tagBytes = 16
const headBytes = keyIdBytes + ivBytes + tagBytes
const maxSealedLength = 6_144
/** Longest initialize parameters that a session id carries, in bytes of JSON: clients send the id in a header. */
const maxInitializeBytes = 2_048
const algorithm = "aes-256-gcm"

const gone = (): AppError =>
  new AppError("SessionNotFound", { detail: "This session does not exist, has expired, or is not yours." })

const associatedData = ({ identity, targetUID }: SessionOwner): Buffer =>
  Buffer.from(JSON.stringify([identity.source, identity.issuer, identity.subject, targetUID]))

const fits = (params: Params): boolean => Buffer.byteLength(JSON.stringify(params)) <= maxInitializeBytes

/** The parameters of an initialize, cut to what a session id can carry; undefined if even the needed part is too long. */
export const boundInitialize = (params: Params): Params | undefined => {
  const { protocolVersion, capabilities = {}, clientInfo } = params
  const whole = { protocolVersion, capabilities, clientInfo }
  if (fits(whole)) return whole
  const { name, version } = isRecord(clientInfo) ? clientInfo : {}
  const needed = { protocolVersion, capabilities, clientInfo: { name, version } }
  return fits(needed) ? needed : undefined
}

const toSession = (sealed: string, plain: string): OpenSession => {
  const fields: unknown = JSON.parse(plain)
  if (!Array.isArray(fields)) throw gone()
  const [upstreamId, instanceUID, incarnation, issuedAt, initialize]: unknown[] = fields
  if (typeof upstreamId !== "string" || typeof instanceUID !== "string") throw gone()
  if (typeof incarnation !== "string" || typeof issuedAt !== "number") throw gone()
  return {
    sealed,
    upstreamId,
    instanceUID,
    incarnation,
    issuedAt,
    initialize: isRecord(initialize) ? initialize : undefined,
  }
}

/**
 * The sealed bytes, and the id of the key that sealed them. Throws SessionNotFound for a text that no replica can have
 * sealed.
 */
const unpack = (sealed: string): { readonly bytes: Buffer; readonly keyId: string } => {
  if (sealed.length > maxSealedLength || !/^[\w-]+$/.test(sealed)) throw gone()
  const bytes = Buffer.from(sealed, "base64url")
  if (bytes.length <= headBytes) throw gone()
  return { bytes, keyId: bytes.toString("hex", 0, keyIdBytes) }
}

const decrypt = (key: SessionKey, owner: SessionOwner, bytes: Buffer): string => {
  const iv = bytes.subarray(keyIdBytes, keyIdBytes + ivBytes)
  const decipher = createDecipheriv(algorithm, key.secret, iv, { authTagLength: tagBytes })
  decipher.setAAD(associatedData(owner))
  decipher.setAuthTag(bytes.subarray(keyIdBytes + ivBytes, headBytes))
  const plain = decipher.update(bytes.subarray(headBytes))
  try {
    decipher.final()
  } catch {
    throw gone()
  }
  return plain.toString()
}

/** The sealed id, unless it is so long that it would be refused when the client sends it. */
const sendable = (sealed: string, { length }: string): string => {
  if (sealed.length <= maxSealedLength) return sealed
  throw new AppError("UpstreamInvalid", { detail: `The server's session id is too long: it has ${length} characters.` })
}

type Opened = { readonly owner: SessionOwner; readonly session: OpenSession; readonly keyId: string }

/** Most opened ids that are remembered: decrypting one again costs several microseconds of each request. */
const rememberedSessions = 5_000

const isOwner = (left: SessionOwner, right: SessionOwner): boolean =>
  left.targetUID === right.targetUID &&
  left.identity.source === right.identity.source &&
  left.identity.issuer === right.identity.issuer &&
  left.identity.subject === right.identity.subject

/**
 * Opens ids and remembers the last opened ones, each with its owner. A remembered id counts only while its key is
 * known.
 */
const createOpener = (keys: SessionKeys) => {
  const remembered = new Map<string, Opened>()
  const remember = (sealed: string, opened: Opened): void => {
    const [oldest] = remembered.size >= rememberedSessions ? remembered.keys() : []
    if (oldest !== undefined) remembered.delete(oldest)
    remembered.set(sealed, opened)
  }
  const openWith = (key: SessionKey | undefined, owner: SessionOwner, sealed: string): OpenSession => {
    if (key === undefined) throw gone()
    const session = toSession(sealed, decrypt(key, owner, unpack(sealed).bytes))
    remember(sealed, { owner, session, keyId: key.id })
    return session
  }
  return (owner: SessionOwner, sealed: string): OpenSession | Promise<OpenSession> => {
    const known = remembered.get(sealed)
    if (known !== undefined && isOwner(known.owner, owner) && keys.find(known.keyId) !== undefined) return known.session
    const { keyId } = unpack(sealed)
    const key = keys.find(keyId)
    if (key !== undefined) return openWith(key, owner, sealed)
    return keys.lookUp(keyId).then((found) => openWith(found, owner, sealed))
  }
}

/** Creates the sealer of session ids. `lifetimeMs` counts from the initialize. */
export const createSealer = (deps: {
  readonly keys: SessionKeys
  readonly now: () => number
  readonly lifetimeMs: number
}): SessionSealer => {
  const open = createOpener(deps.keys)
  const unexpired = (session: OpenSession): OpenSession => {
    if (deps.now() - session.issuedAt > deps.lifetimeMs) throw gone()
    return session
  }
  return {
    seal: (owner, placement, { upstreamId, initialize }) => {
      const key = deps.keys.current()
      const iv = randomBytes(ivBytes)
      const cipher = createCipheriv(algorithm, key.secret, iv, { authTagLength: tagBytes })
      cipher.setAAD(associatedData(owner))
      const { instanceUID, incarnation } = placement
      const plain = JSON.stringify([upstreamId, instanceUID, incarnation, deps.now(), initialize])
      const text = Buffer.concat([cipher.update(plain), cipher.final()])
      const parts = [Buffer.from(key.id, "hex"), iv, cipher.getAuthTag(), text]
      return sendable(Buffer.concat(parts).toString("base64url"), upstreamId)
    },
    open: (owner, sealed) => {
      const session = open(owner, sealed)
      return session instanceof Promise ? session.then(unexpired) : unexpired(session)
    },
  }
}

/** The target's UID, which session ids are bound to. Throws Internal if the target has none. */
export const targetUID = (target: MCPTarget): string => {
  const { uid } = target.metadata
  if (uid === undefined) throw new AppError("Internal", { detail: "The target has no UID." })
  return uid
}
