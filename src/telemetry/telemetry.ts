import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client"
import type { Labels, MetricDefinition, TelemetryPort } from "../ports/telemetry.ts"
import { createLogger, type LogOptions } from "./log.ts"

/** Most label sets of one metric; further ones are counted under `other`, so that no caller can fill the memory. */
export const maxSeries = 1_000

/** Upper bounds in seconds where a histogram names none: from a warm call to a slow start. */
const defaultBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]

/** One text for a label set. */
const keyOf = (names: readonly string[], labels: Labels): string => {
  let key = ""
  for (const name of names) key += `${labels[name] ?? ""}\0`
  return key
}

/** Lets the first {@link maxSeries} label sets pass, and turns every value of a later one into `other`. */
const boundLabels = (names: readonly string[]) => {
  const seen = new Set<string>()
  const other = Object.fromEntries(names.map((name) => [name, "other"]))
  return (labels: Labels | undefined): Labels => {
    if (labels === undefined || names.length === 0) return {}
    const key = keyOf(names, labels)
    if (seen.has(key)) return labels
    if (seen.size >= maxSeries) return other
    seen.add(key)
    return labels
  }
}

/** Returns the value that `make` made the first time for this name. */
const once = <T>(make: (definition: MetricDefinition) => T): ((definition: MetricDefinition) => T) => {
  const made = new Map<string, T>()
  return (definition) => {
    const before = made.get(definition.name)
    if (before !== undefined) return before
    const metric = make(definition)
    made.set(definition.name, metric)
    return metric
  }
}

/** What was added for one label set and is not in the metric yet. */
type Sum = { readonly labels: Labels; by: number }

/**
 * Adds up by label sets, until the metrics are read: prom-client builds a key from the labels at each addition, which took
 * a quarter of a microsecond, five times for each request. Bounds label sets as {@link boundLabels} does.
 */
const createSums = (names: readonly string[]) => {
  const sums = new Map<string, Sum>()
  const other: Sum = { labels: Object.fromEntries(names.map((name) => [name, "other"])), by: 0 }
  const none: Sum = { labels: {}, by: 0 }
  const begin = (key: string, labels: Labels): Sum => {
    if (sums.size >= maxSeries) return other
    const sum: Sum = { labels, by: 0 }
    sums.set(key, sum)
    return sum
  }
  const of = (labels: Labels | undefined): Sum => {
    if (labels === undefined || names.length === 0) return none
    const key = keyOf(names, labels)
    return sums.get(key) ?? begin(key, labels)
  }
  return {
    of,
    /** Passes on what was added since the last time. */
    drain: (take: (labels: Labels, by: number) => void): void => {
      for (const sum of [...sums.values(), other, none]) {
        if (sum.by !== 0) take(sum.labels, sum.by)
        sum.by = 0
      }
    },
  }
}

const shared = (registry: Registry, { name, help, labels }: MetricDefinition) => ({
  name,
  help,
  labelNames: [...(labels ?? [])],
  registers: [registry],
})

const makers = (registry: Registry): Omit<TelemetryPort, "log" | "metrics"> => ({
  counter: once((definition) => {
    const sums = createSums(definition.labels ?? [])
    const collect = function (this: Counter): void {
      sums.drain((labels, by) => this.inc(labels, by))
    }
    new Counter({ ...shared(registry, definition), collect })
    return {
      inc: (labels, by = 1) => {
        sums.of(labels).by += by
      },
      of: (labels) => {
        const sum = sums.of(labels)
        return {
          inc: (by = 1) => {
            sum.by += by
          },
        }
      },
    }
  }),
  gauge: once((definition) => {
    const sums = createSums(definition.labels ?? [])
    const drain = (metric: Gauge): void => sums.drain((labels, by) => metric.inc(labels, by))
    const collect = function (this: Gauge): void {
      drain(this)
    }
    const metric = new Gauge({ ...shared(registry, definition), collect })
    const bound = boundLabels(definition.labels ?? [])
    return {
      set: (value, labels) => {
        drain(metric)
        metric.set(bound(labels), value)
      },
      inc: (labels, by = 1) => {
        sums.of(labels).by += by
      },
    }
  }),
  reading: (definition, read) => {
    registry.removeSingleMetric(definition.name)
    const collect = function (this: Gauge): void {
      this.set(read())
    }
    new Gauge({ ...shared(registry, definition), collect })
  },
  histogram: once((definition) => {
    const buckets = [...(definition.buckets ?? defaultBuckets)]
    const metric = new Histogram({ ...shared(registry, definition), buckets })
    const bound = boundLabels(definition.labels ?? [])
    return { observe: (seconds, labels) => metric.observe(bound(labels), seconds) }
  }),
})

/** Metrics in a registry of their own. `processMetrics` adds those of the process itself: memory, CPU, event loop. */
export const createMetrics = (processMetrics: boolean): Omit<TelemetryPort, "log"> => {
  const registry = new Registry()
  if (processMetrics) collectDefaultMetrics({ register: registry })
  return { ...makers(registry), metrics: () => registry.metrics() }
}

/** Options of {@link createTelemetry}. */
type TelemetryOptions = LogOptions & {
  /** Also measure the process itself; only worth it where /metrics is served. */
  readonly processMetrics: boolean
}

/** Logs and metrics of this process. */
export const createTelemetry = (options: TelemetryOptions): TelemetryPort => ({
  log: createLogger(options),
  ...createMetrics(options.processMetrics),
})
