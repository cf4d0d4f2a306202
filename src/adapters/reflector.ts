import { deepFreeze } from "../api/deep-freeze.ts"
import type { Kind, KubeObject } from "../api/kind.ts"
import { AppError, hasCode } from "../errors.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { Change, ListPage, Reflection, WatchOptions } from "../ports/cluster.ts"
import type { TelemetryPort } from "../ports/telemetry.ts"

/** A frame of a watch as the API server sends it (Kubernetes WatchEvent). */
export type WatchFrame =
  | { readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK"; readonly object: KubeObject }
  /** `object` is a Status. */
  | { readonly type: "ERROR"; readonly object: { readonly code?: number; readonly message?: string } }

/** Where a reflection comes from: one selection of one kind, untouched by schema or cache. */
export type ReflectorSource = {
  list(page: { readonly limit: number; readonly continue?: string }, signal: AbortSignal): Promise<ListPage<KubeObject>>
  /** Frames after `resourceVersion`, until the server ends the stream. Throws `ApiGone` or sends ERROR when it is too old. */
  watch(resourceVersion: string, signal: AbortSignal): AsyncIterable<WatchFrame>
}

/** What a reflector needs. */
export type ReflectorDeps<T extends KubeObject> = WatchOptions & {
  readonly kind: Kind<T>
  readonly source: ReflectorSource
  readonly clock: ClockPort
  readonly telemetry: TelemetryPort
  /** A number from 0 to 1, for the jitter of the backoff. */
  readonly random?: () => number
}

const pageSize = 500
/** Bookmarks come every 60 s, so a watch that is silent for longer than this is dead. */
const silenceLimitMs = 75_000
const healthyAfterMs = 60_000
const firstDelayMs = 500
const longestDelayMs = 5_000

const metricsOf = (telemetry: TelemetryPort, kind: string) => {
  const labels = { kind }
  const definition = (name: string, help: string) => ({ name, help, labels: ["kind"] })
  const relists = telemetry.counter(definition("reflow_watch_lists_total", "Lists made to fill a cache."))
  const restarts = telemetry.counter(definition("reflow_watch_restarts_total", "Watches opened."))
  const heard = telemetry.gauge(
    definition("reflow_watch_last_event_timestamp_seconds", "When the API server was last heard, as Unix time."),
  )
  return {
    listed: () => relists.inc(labels),
    opened: () => restarts.inc(labels),
    heard: (ms: number) => heard.set(ms / 1000, labels),
  }
}

/** Follows `promise`, but rejects at once when the signal is aborted: a source may be deaf to it. */
const unlessAborted = async <T>(promise: Promise<T>, signal: AbortSignal): Promise<T> => {
  signal.throwIfAborted()
  const aborted = Promise.withResolvers<never>()
  const onAbort = () => aborted.reject(signal.reason)
  signal.addEventListener("abort", onAbort, { once: true })
  try {
    return await Promise.race([promise, aborted.promise])
  } finally {
    signal.removeEventListener("abort", onAbort)
  }
}

const withoutManagedFields = (object: KubeObject): KubeObject => {
  if (!("managedFields" in object.metadata)) return object
  const { managedFields: _, ...metadata } = object.metadata as KubeObject["metadata"] & { managedFields?: unknown }
  return { ...object, metadata }
}

const doubt = (why: string): AppError => new AppError("ApiGone", { detail: `The watch cannot go on: ${why}.` })

/** The local copy: applies states one by one and tells listeners what each changed. */
const createCopy = <T extends KubeObject>(deps: ReflectorDeps<T>) => {
  const { kind, telemetry, onInvalid } = deps
  const objects = new Map<string, T>()
  const listeners = new Set<(change: Change<T>) => void>()

  const tell = (change: Change<T>): void => {
    for (const listener of listeners) {
      try {
        listener(change)
      } catch (error) {
        telemetry.log.error("a listener of a watch failed", { kind: kind.kind, error })
      }
    }
  }
  /** The object as its kind's type, or undefined if it breaks the schema: that state is skipped. */
  const parse = (raw: KubeObject): T | undefined => {
    const object = deepFreeze(withoutManagedFields(raw))
    const parsed = kind.schema?.safeParse(object)
    if (parsed === undefined || parsed.success) return deepFreeze((parsed?.data ?? object) as T)
    const problem = parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join("; ")
    const { name, namespace } = object.metadata
    telemetry.log.warn("an object is not valid and is left out", { kind: kind.kind, namespace, name, problem })
    onInvalid?.({ object, problem })
    return undefined
  }
  const remove = (name: string, last?: T): void => {
    const previous = objects.get(name)
    if (previous === undefined) return
    objects.delete(name)
    tell({ type: "deleted", object: last ?? previous, previous })
  }
  const put = (raw: KubeObject): void => {
    const { name, uid, resourceVersion } = raw.metadata
    const known = objects.get(name)
    if (known?.metadata.uid === uid && known?.metadata.resourceVersion === resourceVersion) return
    if (known !== undefined && known.metadata.uid !== uid) remove(name)
    const object = parse(raw)
    if (object === undefined) return
    const previous = objects.get(name)
    objects.set(name, object)
    tell(previous === undefined ? { type: "added", object } : { type: "modified", object, previous })
  }

  return {
    objects,
    listeners,
    put,
    /** The object is gone; another one of its name is not meant. */
    drop: (raw: KubeObject): void => {
      if (objects.get(raw.metadata.name)?.metadata.uid === raw.metadata.uid) remove(raw.metadata.name, parse(raw))
    },
    /** Makes the copy equal to a complete list. */
    replace: (items: readonly KubeObject[]): void => {
      const names = new Set(items.map(({ metadata }) => metadata.name))
      for (const name of [...objects.keys()]) if (!names.has(name)) remove(name)
      for (const item of items) put(item)
    },
  }
}

/**
 * Starts a reflection: list, then watch; whatever goes wrong, list or watch again. A state that breaks the kind's schema
 * is logged, given to `onInvalid` and skipped: the copy keeps the last valid state, or none.
 */
export const createReflector = <T extends KubeObject>(deps: ReflectorDeps<T>): Reflection<T> => {
  const { kind, source, clock, telemetry, random = Math.random } = deps
  const log = telemetry.log.child({ kind: kind.kind })
  const metrics = metricsOf(telemetry, kind.kind)
  const copy = createCopy(deps)
  const closing = new AbortController()
  const synced = Promise.withResolvers<void>()
  synced.promise.catch(() => {})
  let hasSynced = false
  let heardAt = clock.now()
  let failures = 0
  /** Where the watch goes on; undefined = list first. */
  let version: string | undefined

  /** Runs one list or watch, which is given up when `heard` is not called for too long, or on close. */
  const guarded = async (run: (signal: AbortSignal, heard: () => void) => Promise<void>): Promise<void> => {
    const silence = new AbortController()
    const signal = AbortSignal.any([closing.signal, silence.signal])
    const arm = () => clock.timer(silenceLimitMs, () => silence.abort(doubtless))
    const doubtless = new AppError("ClusterUnavailable", {
      detail: "Nothing was heard of the API server for too long.",
    })
    let cancel = arm()
    const heard = () => {
      cancel()
      cancel = arm()
      heardAt = clock.now()
      metrics.heard(heardAt)
    }
    try {
      await run(signal, heard)
    } finally {
      cancel()
      silence.abort(doubtless)
    }
  }

  const list = (): Promise<void> =>
    guarded(async (signal, heard) => {
      metrics.listed()
      const items: KubeObject[] = []
      let page: ListPage<KubeObject> | undefined
      do {
        const next = page?.continue === undefined ? {} : { continue: page.continue }
        page = await unlessAborted(source.list({ limit: pageSize, ...next }, signal), signal)
        items.push(...page.items)
        heard()
      } while (page.continue !== undefined)
      copy.replace(items)
      version = page.resourceVersion
      hasSynced = true
      synced.resolve()
    })

  const receive = (frame: WatchFrame): void => {
    if (frame.type === "ERROR") throw doubt(`${frame.object.code ?? ""} ${frame.object.message ?? ""}`.trim())
    const { name, uid, resourceVersion } = frame.object.metadata ?? {}
    if (resourceVersion === undefined) throw doubt("a frame without a resource version")
    if (frame.type !== "BOOKMARK") {
      if (!name || !uid) throw doubt("a frame without name or uid")
      if (frame.type === "DELETED") copy.drop(frame.object)
      else if (frame.type === "ADDED" || frame.type === "MODIFIED") copy.put(frame.object)
      else throw doubt("a frame of unknown type")
    }
    version = resourceVersion
  }

  const watch = (since: string): Promise<void> =>
    guarded(async (signal, heard) => {
      metrics.opened()
      const frames = source.watch(since, signal)[Symbol.asyncIterator]()
      try {
        for (;;) {
          const next = await unlessAborted(frames.next(), signal)
          if (next.done === true) return
          heard()
          receive(next.value)
        }
      } finally {
        void frames.return?.().catch(() => {})
      }
    })

  /** One list (if needed) and one watch. Resolves when the server ends the watch. */
  const follow = async (): Promise<void> => {
    if (version === undefined) await list()
    const cancel = clock.timer(healthyAfterMs, () => {
      failures = 0
    })
    try {
      if (version !== undefined) await watch(version)
    } catch (error) {
      if (hasCode(error, "ApiGone")) version = undefined
      throw error
    } finally {
      cancel()
    }
  }

  const pause = (): Promise<void> => {
    const delay = Math.min(longestDelayMs, firstDelayMs * 2 ** Math.min(failures++, 10))
    return clock.sleep(delay * (0.5 + random() / 2), closing.signal)
  }

  const run = async (): Promise<void> => {
    while (!closing.signal.aborted) {
      try {
        await follow()
      } catch (error) {
        if (closing.signal.aborted) break
        const level = hasCode(error, "ApiGone", "ClusterUnavailable") ? "info" : "warn"
        log[level]("a watch broke and is made again", { error, relist: version === undefined })
      }
      await pause().catch(() => {})
    }
  }
  const running = run()

  return {
    synced: synced.promise,
    hasSynced: () => hasSynced,
    get: (name) => copy.objects.get(name),
    items: () => copy.objects.values(),
    get size() {
      return copy.objects.size
    },
    silenceMs: () => Math.max(0, clock.now() - heardAt),
    subscribe: (listener) => {
      copy.listeners.add(listener)
      return () => void copy.listeners.delete(listener)
    },
    close: async () => {
      closing.abort(new AppError("ShuttingDown", { detail: "The reflection is closed." }))
      synced.reject(closing.signal.reason)
      copy.listeners.clear()
      await running
    },
  }
}
