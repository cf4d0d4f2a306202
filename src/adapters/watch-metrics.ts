import type { TelemetryPort } from "../ports/telemetry.ts"

/** When each reflection of a kind was last heard, by the process's telemetry: in the role all there are two of some. */
const openWatches = new WeakMap<TelemetryPort, Map<string, Set<{ heardMs: number }>>>()

const watchesOf = (telemetry: TelemetryPort, kind: string): Set<{ heardMs: number }> => {
  const kinds = openWatches.get(telemetry) ?? new Map<string, Set<{ heardMs: number }>>()
  openWatches.set(telemetry, kinds)
  const watches = kinds.get(kind) ?? new Set()
  kinds.set(kind, watches)
  return watches
}

/** What is counted of one watch. */
export type WatchMetrics = {
  listed(): void
  opened(): void
  /** The API server was heard at this time, milliseconds since the epoch. */
  heard(ms: number): void
  /** A watch that nobody wants any more is not one that has gone silent. */
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
    definition("reflow_watch_last_event_timestamp_seconds", "When the API server was last heard, as Unix time."),
  )
  /** Of several watches the one that has been silent for longest; no number if there is none. */
  const tell = (): void => {
    const all = [...open].map(({ heardMs }) => heardMs)
    heard.set(all.length === 0 ? Number.NaN : Math.min(...all) / 1000, labels)
  }
  return {
    listed: () => lists.inc(labels),
    opened: () => watches.inc(labels),
    heard: (ms: number) => {
      own.heardMs = ms
      open.add(own)
      tell()
    },
    ended: () => {
      open.delete(own)
      tell()
    },
  }
}
