import type { Kind, KubeObject } from "../api/kinds/kind.ts"
import { AppError, hasCode, isAppError } from "../errors.ts"
import type { ClockPort } from "../ports/clock.ts"
import { type ListPage, type Reflection, type WatchOptions, watchSilenceMs } from "../ports/cluster.ts"
import type { Logger, TelemetryPort } from "../ports/telemetry.ts"
import { backoffMs } from "../waiting/backoff.ts"
import { unlessAborted } from "../waiting/until-aborted.ts"
import { createLocalCopy, createWatchMetrics, type LocalCopy, type Replacement } from "./local-copy.ts"

/** A frame of a watch as the API server sends it (Kubernetes WatchEvent). */
export type WatchFrame =
  | { readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK"; readonly object: KubeObject }
  /** `object` is a Status. */
  | { readonly type: "ERROR"; readonly object: { readonly code?: number; readonly message?: string } }

/** The list and watch calls for one selection of one kind. The objects are not yet checked by a schema. */
export type ListWatchSource<T extends KubeObject = KubeObject> = {
  list(page: { readonly limit: number; readonly continue?: string }, signal: AbortSignal): Promise<ListPage<T>>
  /**
   * Frames after `resourceVersion`, until the server ends the stream. Throws `ApiGone` or yields ERROR if it is too
   * old.
   */
  watch(resourceVersion: string, signal: AbortSignal): AsyncIterable<WatchFrame>
}

type ReflectorDeps<T extends KubeObject> = WatchOptions & {
  readonly kind: Kind<T>
  readonly source: ListWatchSource
  readonly clock: ClockPort
  readonly telemetry: TelemetryPort
  /** A number from 0 to 1, for the jitter of the backoff; default Math.random. */
  readonly random?: () => number
  /**
   * Milliseconds without a frame after which a watch counts as broken; default 75 s, since bookmarks come every 60 s.
   */
  readonly silenceLimitMs?: number
  /**
   * Called when a list of more than one page has been read: it has left many times the memory of what is kept of it.
   * `isFirst`: it is the first list of this reflection, which nobody uses yet.
   */
  readonly onLongList?: (isFirst: boolean) => void
  /** The client's open reflections: this one is in it until it is closed, so that the client can close it. */
  readonly open?: Set<Pick<Reflection<KubeObject>, "close">>
}

const pageSize = 500
const healthyAfterMs = 60_000
const firstDelayMs = 500
/**
 * Longest pause between attempts, milliseconds. Caches must be current within 5 s after the API server can be reached
 * again; the rest of these 5 s is for the list itself and the work on its objects, while all clients reconnect at the
 * same time.
 */
const longestDelayMs = 2_000
/** Longest pause that a busy API server can request by Retry-After, milliseconds. */
const longestAskedMs = 4_000

const doubt = (why: string): AppError => new AppError("ApiGone", { detail: `The watch cannot go on: ${why}.` })

/**
 * Applies a frame to the copy; returns the version that the copy has reached. Throws `ApiGone` for a frame that is
 * invalid.
 */
const applyFrame = <T>(copy: LocalCopy<T>, frame: WatchFrame): string => {
  if (frame.type === "ERROR") throw doubt(`${frame.object.code ?? ""} ${frame.object.message ?? ""}`.trim())
  const { name, uid, resourceVersion } = frame.object.metadata ?? {}
  if (resourceVersion === undefined) throw doubt("a frame has no resource version")
  if (frame.type === "BOOKMARK") return resourceVersion
  if (!name || !uid) throw doubt("a frame has no name or uid")
  if (frame.type === "DELETED") copy.drop(frame.object)
  else if (frame.type === "ADDED" || frame.type === "MODIFIED") copy.put(frame.object)
  else throw doubt("a frame has an unknown type")
  return resourceVersion
}

type Attempt<R> = (signal: AbortSignal, heard: () => void) => Promise<R>

/** Runs attempts and aborts their signal on close, or if `heard` is not called for `limitMs`. */
const createVigil = (clock: ClockPort, limitMs: number, closing: AbortSignal, onHeard: () => void) => {
  return async <R>(attempt: Attempt<R>): Promise<R> => {
    const ending = new AbortController()
    const onClose = () => ending.abort(closing.reason)
    const arm = () =>
      clock.timer(limitMs, () =>
        ending.abort(new AppError("ClusterUnavailable", { detail: "The API server has been silent for too long." })),
      )
    let cancel = arm()
    closing.addEventListener("abort", onClose)
    if (closing.aborted) onClose()
    try {
      return await attempt(ending.signal, () => {
        cancel()
        cancel = arm()
        onHeard()
      })
    } finally {
      cancel()
      closing.removeEventListener("abort", onClose)
      // ends requests that the source may still have open for this attempt
      ending.abort(closing.reason)
    }
  }
}

/** Reads the complete list into the copy, page by page; resolves with the list's version and its number of pages. */
const readList = async (
  source: ListWatchSource,
  { add, end }: Replacement,
  signal: AbortSignal,
  heard: () => void,
): Promise<{ readonly version: string; readonly pages: number }> => {
  let next: Pick<ListPage<KubeObject>, "continue"> = {}
  for (let pages = 1; ; pages++) {
    const { items, resourceVersion, ...rest } = await unlessAborted(
      source.list({ limit: pageSize, ...next }, signal),
      signal,
    )
    add(items)
    heard()
    next = rest
    if (next.continue !== undefined) continue
    end()
    return { version: resourceVersion, pages }
  }
}

/** Calls `take` with each frame until the server ends the watch. */
const readFrames = async (
  frames: AsyncIterator<WatchFrame>,
  signal: AbortSignal,
  take: (frame: WatchFrame) => void,
): Promise<void> => {
  try {
    for (;;) {
      const next = await unlessAborted(frames.next(), signal)
      if (next.done === true) return
      take(next.value)
    }
  } finally {
    frames.return?.().catch(() => {})
  }
}

type Course = {
  readonly closing: AbortSignal
  readonly log: Logger
  readonly onHeard: () => void
  readonly onList: () => void
}

/**
 * Outcome of one list and watch: whether it worked for a minute, and the pause that the API server asked for (or 0).
 */
type Outcome = { readonly healthy: boolean; readonly askedMs: number }

/** Lists and watches until closed. After any error it watches again, or lists again if the version is too old. */
const follow = async <T extends KubeObject>(
  deps: ReflectorDeps<T>,
  copy: LocalCopy<T>,
  course: Course,
): Promise<void> => {
  const { kind, source, clock, telemetry, random = Math.random } = deps
  const { closing, log } = course
  const metrics = createWatchMetrics(telemetry, kind.kind)
  const vigil = createVigil(clock, deps.silenceLimitMs ?? watchSilenceMs, closing, () => {
    metrics.heard(clock.now())
    course.onHeard()
  })
  /** The version after which the watch continues; undefined = list first. */
  let version: string | undefined
  let isFirst = true

  const list = (): Promise<string> =>
    vigil(async (signal, heard) => {
      metrics.listed()
      const { version: listed, pages } = await readList(source, copy.replace(), signal, heard)
      course.onList()
      if (pages > 1) deps.onLongList?.(isFirst)
      isFirst = false
      return listed
    })
  const watch = (since: string): Promise<void> =>
    vigil((signal, heard) => {
      metrics.opened()
      return readFrames(source.watch(since, signal)[Symbol.asyncIterator](), signal, (frame) => {
        heard()
        version = applyFrame(copy, frame)
      })
    })

  /** One list if needed, and one watch. */
  const attempt = async (): Promise<Outcome> => {
    let healthy = false
    let askedMs = 0
    const cancel = clock.timer(healthyAfterMs, () => {
      healthy = true
    })
    try {
      version ??= await list()
      await watch(version)
    } catch (error) {
      if (hasCode(error, "ApiGone")) version = undefined
      if (isAppError(error)) askedMs = (error.retryAfterSeconds ?? 0) * 1000
      const level = hasCode(error, "ApiGone", "ClusterUnavailable") ? "info" : "warn"
      if (!closing.aborted) log[level]("a watch broke and is made again", { error, relist: version === undefined })
    } finally {
      cancel()
    }
    return { healthy, askedMs }
  }

  for (let failures = 0; !closing.aborted; ) {
    const { healthy, askedMs } = await attempt()
    failures = healthy ? 0 : failures + 1
    if (failures === 0) continue
    const delay = backoffMs(failures, { firstMs: firstDelayMs, longestMs: longestDelayMs })
    const asked = Math.min(longestAskedMs, askedMs)
    await clock.sleep(Math.max(asked, delay * (0.5 + random() / 2)), closing).catch(() => {})
  }
  metrics.ended()
}

/**
 * Starts a reflection. A state that violates the kind's schema is logged, passed to `onInvalid` and skipped, so that it
 * neither stops the reflection nor appears as a deletion.
 */
export const createReflector = <T extends KubeObject>(deps: ReflectorDeps<T>): Reflection<T> => {
  const { kind, clock } = deps
  const log = deps.telemetry.log.child({ kind: kind.kind })
  const copy = createLocalCopy({ ...deps, log })
  const closing = new AbortController()
  const synced = Promise.withResolvers<void>()
  // callers that never await `synced` get no unhandled rejection
  synced.promise.catch(() => {})
  let hasSynced = false
  let heardAt = clock.now()

  const running = follow(deps, copy, {
    closing: closing.signal,
    log,
    onHeard: () => {
      heardAt = clock.now()
    },
    onList: () => {
      hasSynced = true
      synced.resolve()
    },
  })
  const reflection: Reflection<T> = {
    synced: synced.promise,
    hasSynced: () => hasSynced,
    get: (name) => copy.objects.get(name),
    items: () => copy.objects.values(),
    get size() {
      return copy.objects.size
    },
    silenceMs: () => Math.max(0, clock.now() - heardAt),
    subscribe: copy.subscribe,
    close: async () => {
      deps.open?.delete(reflection)
      closing.abort(new AppError("ShuttingDown", { detail: "The reflection is closed." }))
      synced.reject(closing.signal.reason)
      await running
    },
  }
  deps.open?.add(reflection)
  return reflection
}
