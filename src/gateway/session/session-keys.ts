import { randomBytes } from "node:crypto"
import { type Secret, secretKind } from "../../api/kinds/kubernetes.ts"
import { AppError, hasCode } from "../../errors.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { CallOptions, ClusterPort, ObjectRef } from "../../ports/cluster.ts"
import type { Logger } from "../../ports/telemetry.ts"

/**
 * Shortest time between two reads, and longest time of one, milliseconds: any caller can cause a read by an unknown key
 * id.
 */
const pauseMs = 5_000

/**
 * Returns a function that reads the keys again, at most once in five seconds: calls in between, or during a read, share
 * the outcome of the last read. Rejects with ClusterUnavailable if that read failed or took too long.
 */
const createCatchUp = (
  clock: ClockPort,
  read: (signal: AbortSignal) => Promise<void>,
  stopped: AbortSignal,
): (() => Promise<void>) => {
  let last: { readonly at: number; readonly done: Promise<void> } | undefined

  const readOnce = async (): Promise<void> => {
    const limit = new AbortController()
    const cancel = clock.timer(pauseMs, () => limit.abort())
    try {
      await read(AbortSignal.any([stopped, limit.signal]))
    } catch (cause) {
      const detail = "This replica cannot check the session: its key could not be read."
      throw new AppError("ClusterUnavailable", { detail, retryAfterSeconds: 5, cause })
    } finally {
      cancel()
    }
  }
  return () => {
    const now = clock.now()
    // a clock that was set back must not delay the next read
    if (last === undefined || now < last.at || now - last.at >= pauseMs) last = { at: now, done: readOnce() }
    return last.done
  }
}

/** A key that seals session ids. */
export type SessionKey = {
  /** 8 hex digits, written in front of what it seals. */
  readonly id: string
  /** 32 random bytes. */
  readonly secret: Uint8Array
}

/** The keys that this replica knows now. */
export type SessionKeys = {
  /** The key to seal with. */
  current(): SessionKey
  /** The key that sealed an id; undefined if it is not known or retired. */
  find(id: string): SessionKey | undefined
  /**
   * Like {@link find}, for an id that it does not know: reads the keys again first, because another replica may have
   * created a key meanwhile. Rejects with ClusterUnavailable while the keys cannot be read.
   */
  lookUp(id: string): Promise<SessionKey | undefined>
}

/** How often each replica reads the Secret again, milliseconds. */
const refreshMs = 60_000
/** Age from which a key seals, milliseconds: by then every replica has had time to read it. */
const overlapMs = 5 * refreshMs
/** Age at which the newest key gets a successor. */
const rotationMs = 30 * 24 * 3_600_000

type DatedKey = SessionKey & { readonly createdAt: number }

const namePattern = /^key-(\d{1,12})-([0-9a-f]{8})$/

/** The keys of a Secret, oldest first; what is not a key is left out. */
export const parseKeys = (data: Secret["data"]): readonly DatedKey[] =>
  Object.entries(data ?? {})
    .flatMap(([name, value]) => {
      const [, seconds, id] = namePattern.exec(name) ?? []
      const secret = Buffer.from(value, "base64")
      return id === undefined || secret.length !== 32 ? [] : [{ id, secret, createdAt: Number(seconds) * 1_000 }]
    })
    .sort((left, right) => left.createdAt - right.createdAt || (left.id < right.id ? -1 : 1))

/** The key to seal with: the newest that every replica knows by now, or the oldest if none is that old. */
export const sealingKey = (keys: readonly DatedKey[], now: number): DatedKey | undefined =>
  keys.findLast((key) => key.createdAt <= now - overlapMs) ?? keys[0]

/** The merge patch of a rotation for the Secret's data; undefined if nothing changes. */
export const rotation = (
  data: Secret["data"],
  now: number,
  sessionLifetimeMs: number,
): Readonly<Record<string, string | null>> | undefined => {
  const keys = parseKeys(data)
  const newest = keys.at(-1)
  const changes: Record<string, string | null> = {}
  if (newest === undefined || newest.createdAt < now - rotationMs) Object.assign(changes, newKey(now))
  for (const [name, value] of Object.entries(data ?? {})) {
    const [key] = parseKeys({ [name]: value })
    const successor = keys.find((other) => key !== undefined && other.createdAt > key.createdAt)
    if (successor !== undefined && successor.createdAt < now - overlapMs - sessionLifetimeMs) changes[name] = null
  }
  return Object.keys(changes).length === 0 ? undefined : changes
}

const newKey = (now: number): Record<string, string> => ({
  [`key-${Math.floor(now / 1_000)}-${randomBytes(4).toString("hex")}`]: randomBytes(32).toString("base64"),
})

const create = async (cluster: ClusterPort, ref: ObjectRef, now: number, options: CallOptions): Promise<Secret> => {
  const secret: Secret = { apiVersion: "v1", kind: "Secret", metadata: { ...ref }, type: "Opaque", data: newKey(now) }
  try {
    return await cluster.create(secretKind, secret, options)
  } catch (error) {
    const other = hasCode(error, "ApiAlreadyExists") ? await cluster.get(secretKind, ref, options) : undefined
    if (other === undefined) throw error
    return other
  }
}

const readKeys = async (
  cluster: ClusterPort,
  ref: ObjectRef,
  facts: { readonly now: number; readonly sessionLifetimeMs: number; readonly signal: AbortSignal },
): Promise<readonly DatedKey[]> => {
  const options = { signal: facts.signal }
  const found = await cluster.get(secretKind, ref, options)
  const secret = found ?? (await create(cluster, ref, facts.now, options))
  const changes = rotation(secret.data, facts.now, facts.sessionLifetimeMs)
  if (changes === undefined) return parseKeys(secret.data)
  return parseKeys((await cluster.mergePatch(secretKind, ref, { data: changes }, options)).data)
}

/**
 * Reads the keys that seal session ids from a Secret and creates the Secret if it does not exist; then reads it again
 * every minute and rotates its keys, until closed. Keys rotate every 30 days; an old key opens what it sealed until the
 * last of these sessions has expired. A later read that fails is logged and repeated, while the known keys stay in use.
 */
export const ensureSessionKeys = async (
  deps: { readonly cluster: ClusterPort; readonly clock: ClockPort; readonly log: Logger },
  ref: ObjectRef,
  options: { readonly sessionLifetimeMs: number; readonly signal: AbortSignal },
): Promise<SessionKeys & { close(): void }> => {
  const { cluster, clock, log } = deps
  const stop = new AbortController()
  const load = (signal: AbortSignal) =>
    readKeys(cluster, ref, { now: clock.now(), sessionLifetimeMs: options.sessionLifetimeMs, signal })
  let keys = await load(options.signal)
  const current = () => {
    const key = sealingKey(keys, clock.now())
    if (key === undefined) throw new AppError("Internal", { detail: `The Secret ${ref.name} holds no session key.` })
    return key
  }
  const read = async (signal: AbortSignal) => {
    keys = await load(signal)
  }
  const find = (id: string) => keys.find((key) => key.id === id)
  const catchUp = createCatchUp(clock, read, stop.signal)
  let cancel = () => {}
  const refresh = async () => {
    try {
      await read(stop.signal)
    } catch (error) {
      if (!stop.signal.aborted) log.warn("The session keys could not be read; the known keys stay in use.", { error })
    }
    if (!stop.signal.aborted) cancel = clock.timer(refreshMs, () => void refresh())
  }
  cancel = clock.timer(refreshMs, () => void refresh())
  return {
    current,
    find,
    lookUp: async (id) => {
      await catchUp()
      return find(id)
    },
    close: () => {
      stop.abort()
      cancel()
    },
  }
}
