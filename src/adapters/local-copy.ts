import { toKept } from "../api/kinds/kept.ts"
import type { Kind, KubeObject } from "../api/kinds/kind.ts"
import { deepFreeze } from "../api/patch.ts"
import type { Change, WatchOptions } from "../ports/cluster.ts"
import type { Logger, TelemetryPort } from "../ports/telemetry.ts"

type LocalCopyDeps<T extends KubeObject> = WatchOptions & { readonly kind: Kind<T>; readonly log: Logger }

/** The last known objects of a selection, by name. */
export type LocalCopy<T> = {
  readonly objects: ReadonlyMap<string, T>
  subscribe(listener: (change: Change<T>) => void): () => void
  /** Takes a new state. A UID that differs from the known one means that the known object was deleted. */
  put(raw: KubeObject): void
  /** Removes the object with this UID; an object of the same name with another UID stays. */
  drop(raw: KubeObject): void
  /** Begins a complete list, which the copy is to become equal to. */
  replace(): Replacement
}

/**
 * A complete list that comes in pages. Each page is reduced at once to what is kept of it, so that never more than one
 * page is in memory as it was sent.
 */
export type Replacement = {
  /** Takes a page. Changes nothing yet. */
  add(items: readonly KubeObject[]): void
  /** Makes the copy equal to the list. */
  end(): void
}

/** An object of a list: what is kept of it, or undefined if it violates the schema. */
type Listed<T> = { readonly name: string; readonly uid: string | undefined; readonly object: T | undefined }

/**
 * Makes a parser that returns a raw object frozen and typed, or undefined (logged, reported) if it violates the schema.
 */
const createParser = <T extends KubeObject>({ kind, log, onInvalid }: LocalCopyDeps<T>) => {
  return (raw: KubeObject): T | undefined => {
    const object = toKept(kind, raw)
    const parsed = kind.schema?.safeParse(object)
    if (parsed === undefined || parsed.success) return deepFreeze((parsed?.data ?? object) as T)
    const problem = parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join("; ")
    const { namespace, name } = object.metadata
    log.warn("an object breaks its schema; this state of it is skipped", { namespace, name, problem })
    onInvalid?.({ object, problem })
    return undefined
  }
}

/**
 * Makes an empty copy. Listeners are called for each change, after the copy has it. A state that violates the kind's
 * schema is logged, passed to `onInvalid` and skipped: the copy keeps the last valid state, or none.
 */
export const createLocalCopy = <T extends KubeObject>(deps: LocalCopyDeps<T>): LocalCopy<T> => {
  const { log } = deps
  const objects = new Map<string, T>()
  const listeners = new Set<(change: Change<T>) => void>()
  const parse = createParser(deps)

  const notify = (change: Change<T>): void => {
    for (const listener of listeners) {
      try {
        listener(change)
      } catch (error) {
        log.error("a listener of a watch failed", { error })
      }
    }
  }
  const remove = (name: string, last?: T): void => {
    const previous = objects.get(name)
    if (previous === undefined) return
    objects.delete(name)
    notify({ type: "deleted", object: last ?? previous, previous })
  }
  /** What is kept of a raw object; the known object if its version has not changed. */
  const read = (raw: KubeObject): Listed<T> => {
    const { name, uid, resourceVersion } = raw.metadata
    const known = objects.get(name)
    const isSame = known?.metadata.uid === uid && known?.metadata.resourceVersion === resourceVersion
    return { name, uid, object: isSame ? known : parse(raw) }
  }
  const store = ({ name, uid, object }: Listed<T>): void => {
    const known = objects.get(name)
    if (known !== undefined && known === object) return
    if (known !== undefined && known.metadata.uid !== uid) remove(name)
    if (object === undefined) return
    const previous = objects.get(name)
    objects.set(name, object)
    notify(previous === undefined ? { type: "added", object } : { type: "modified", object, previous })
  }

  return {
    objects,
    subscribe: (listener) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    put: (raw) => store(read(raw)),
    drop: (raw) => {
      if (objects.get(raw.metadata.name)?.metadata.uid === raw.metadata.uid) remove(raw.metadata.name, parse(raw))
    },
    replace: () => {
      const listed: Listed<T>[] = []
      return {
        add: (items) => {
          for (const item of items) listed.push(read(item))
        },
        end: () => {
          const names = new Set(listed.map(({ name }) => name))
          for (const name of [...objects.keys()]) if (!names.has(name)) remove(name)
          for (const each of listed) store(each)
        },
      }
    },
  }
}

/**
 * For each kind, when the API server last sent something for each of its reflections. By telemetry, that is by process:
 * with the role all, gateway and operator each have a reflection of some kinds.
 */
const openWatches = new WeakMap<TelemetryPort, Map<string, Set<{ heardMs: number }>>>()

const watchesOf = (telemetry: TelemetryPort, kind: string): Set<{ heardMs: number }> => {
  const kinds = openWatches.get(telemetry) ?? new Map<string, Set<{ heardMs: number }>>()
  openWatches.set(telemetry, kinds)
  const watches = kinds.get(kind) ?? new Set()
  kinds.set(kind, watches)
  return watches
}

/** The metrics of one watch. */
type WatchMetrics = {
  listed(): void
  opened(): void
  /** The API server sent something at this time, milliseconds since the epoch. */
  heard(ms: number): void
  /** The watch was closed on purpose: the metric no longer includes it. */
  ended(): void
}

/** Makes the metrics of one watch of a kind. */
export const createWatchMetrics = (telemetry: TelemetryPort, kind: string): WatchMetrics => {
  const labels = { kind }
  const open = watchesOf(telemetry, kind)
  const own = { heardMs: Number.NaN }
  const definition = (name: string, help: string) => ({ name, help, labels: ["kind"] })
  const lists = telemetry.counter(definition("reflow_watch_lists_total", "Lists made to fill a cache."))
  const watches = telemetry.counter(definition("reflow_watch_starts_total", "Watches opened."))
  const heard = telemetry.gauge(
    definition(
      "reflow_watch_last_event_timestamp_seconds",
      "Time of the last event from the API server, as Unix time.",
    ),
  )
  /** Sets the gauge to the oldest time of all open watches of the kind; NaN if there is none. */
  const publish = (): void => {
    const all = [...open].map(({ heardMs }) => heardMs)
    heard.set(all.length === 0 ? Number.NaN : Math.min(...all) / 1000, labels)
  }
  return {
    listed: () => lists.inc(labels),
    opened: () => watches.inc(labels),
    heard: (ms: number) => {
      own.heardMs = ms
      open.add(own)
      publish()
    },
    ended: () => {
      open.delete(own)
      publish()
    },
  }
}
