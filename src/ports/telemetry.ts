/** Fields of a log line. Values must be small and never secret, e.g. a digest of a subject, not a token. */
export type LogFields = Readonly<Record<string, unknown>>

/** A structured logger. An error under the key `error` is written with its code, message and causes. */
export type Logger = {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
  /** A logger that adds `fields` to each of its lines. */
  child(fields: LogFields): Logger
}

/** Label values of one sample; the set of possible values must be bounded. */
export type Labels = Readonly<Record<string, string>>

/** Name, help text and label names of a Prometheus metric. */
export type MetricDefinition = {
  readonly name: string
  readonly help: string
  readonly labels?: readonly string[]
  /** Histogram only: upper bounds in the metric's unit (seconds). */
  readonly buckets?: readonly number[]
}

/** A number that only grows. */
export type Counter = {
  inc(labels?: Labels, by?: number): void
  /** The number of one label set, to be kept by who counts it often: finding it takes as long as all else. */
  of(labels: Labels): { inc(by?: number): void }
}
/** A number that goes up and down. */
type Gauge = { set(value: number, labels?: Labels): void; inc(labels?: Labels, by?: number): void }
/** A distribution, in seconds. */
type Histogram = { observe(seconds: number, labels?: Labels): void }

/** Logs and metrics. Defining a metric twice returns the same metric. */
export type TelemetryPort = {
  readonly log: Logger
  counter(definition: MetricDefinition): Counter
  gauge(definition: MetricDefinition): Gauge
  /**
   * A gauge whose value `read` returns at each scrape. If a name is defined several times, the last `read` counts.
   * `read` must not throw.
   */
  reading(definition: Omit<MetricDefinition, "labels" | "buckets">, read: () => number): void
  histogram(definition: MetricDefinition): Histogram
  /** All metrics in the Prometheus text format. */
  metrics(): Promise<string>
}
