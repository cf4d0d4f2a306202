/** One run of a load, in the thread that generates it. */
import { Connection, encodeRequest, type Request } from "./connection.ts"
import { Latencies } from "./latency.ts"

/** Which requests to send, and how. */
export type LoadPlan = Request & {
  /** Connections, each with one open request at a time. */
  readonly connections: number
  /**
   * Bodies of the connections in turn, in place of `body`: two requests of one MCP session that are open at once must
   * not have the same id.
   */
  readonly bodies?: readonly string[]
  /** How long requests are sent. */
  readonly seconds: number
  /**
   * Requests per second, evenly spaced; the time of each request counts from when it was due, whether or not a
   * connection was free for it. Undefined = each connection sends the next request as soon as it has its answer.
   */
  readonly perSecond?: number
  /** Status of each answer; default 200. Any other fails the run. */
  readonly status?: number
  /** Text that each body must have, in one piece: a failed call of MCP has status 200 too. */
  readonly contains?: string
}

/** The result of a run, as its thread sees it. */
export type Counted = {
  readonly requests: number
  /** From the first request until the last answer. */
  readonly seconds: number
  /** Median and 99th percentile of the time until an answer is complete, milliseconds. */
  readonly p50: number
  readonly p99: number
  /**
   * 99th percentile of how late a request was sent after it was due, milliseconds: a timer was late, or no connection
   * was free. 0 if not paced.
   */
  readonly late99: number
  /** Bytes of all bodies. */
  readonly bytes: number
}

type Slot = { readonly connection: Connection; readonly request: Buffer; since: number }

/** How long a run may go on after its last request was sent, milliseconds. */
const lingerMs = 30_000

/**
 * A run that has opened its connections, and has sent one request on each that does not count. `go` sends the load.
 */
export type OpenRun = { go(): Promise<Counted>; close(): void }

class Run {
  readonly #plan: LoadPlan
  readonly #requests: readonly Buffer[]
  readonly #times = new Latencies()
  readonly #late = new Latencies()
  readonly #slots: Slot[] = []
  readonly #free: Slot[] = []
  #bodyBytes = 0
  #start = 0
  #sent = 0
  #isOver = true
  #timer: NodeJS.Timeout | undefined
  #settled = Promise.withResolvers<void>()

  constructor(plan: LoadPlan) {
    this.#plan = plan
    const bodies = plan.bodies ?? [plan.body]
    this.#requests = bodies.map((body) => encodeRequest({ ...plan, ...(body === undefined ? {} : { body }) }))
  }

  /** Opens the connections; resolves when each has brought one answer. */
  open(): Promise<void> {
    const { connections } = this.#plan
    for (let index = 0; index < connections; index++) this.#openSlot(this.#requests[index % this.#requests.length])
    return this.#untilSettled()
  }

  async go(): Promise<Counted> {
    this.#settled = Promise.withResolvers()
    this.#bodyBytes = 0
    this.#isOver = false
    this.#start = performance.now()
    const over = setTimeout(() => this.#finish(), this.#plan.seconds * 1_000)
    try {
      if (this.#plan.perSecond === undefined) for (const slot of this.#free.splice(0)) this.#send(slot)
      else this.#pace()
      await this.#untilSettled()
    } finally {
      clearTimeout(over)
      clearTimeout(this.#timer)
    }
    const [p50 = Number.NaN, p99 = Number.NaN] = this.#times.quantiles(0.5, 0.99)
    const [late99 = 0] = this.#late.count === 0 ? [0] : this.#late.quantiles(0.99)
    const seconds = (performance.now() - this.#start) / 1_000
    return { requests: this.#times.count, seconds, p50, p99, late99, bytes: this.#bodyBytes }
  }

  close(): void {
    for (const { connection } of this.#slots) connection.close()
  }

  #openSlot(request: Buffer = Buffer.alloc(0)): void {
    const { url, contains, status: expected = 200 } = this.#plan
    const slot: Slot = {
      since: 0,
      request,
      connection: new Connection(
        { url, contains },
        {
          failed: (error) => this.#settled.reject(error),
          answered: ({ status, hasText, bodyBytes }) => {
            if (status !== expected) this.#settled.reject(new Error(`a request was answered with ${status}`))
            else if (!hasText) this.#settled.reject(new Error(`an answer does not contain ${contains}`))
            else this.#take(slot, bodyBytes)
          },
        },
      ),
    }
    this.#slots.push(slot)
    slot.connection.send(request)
  }

  async #untilSettled(): Promise<void> {
    const limit = this.#plan.seconds * 1_000 + lingerMs
    const late = setTimeout(() => this.#settled.reject(new Error("an answer took too long")), limit)
    try {
      await this.#settled.promise
    } finally {
      clearTimeout(late)
    }
  }

  /** Takes an answer, and sends what is next on its connection. The first answer of a connection does not count. */
  #take(slot: Slot, bodyBytes: number): void {
    const isCounted = slot.since > 0
    if (isCounted) {
      this.#times.add(performance.now() - slot.since)
      this.#bodyBytes += bodyBytes
    }
    if (this.#isOver || !isCounted) this.#rest(slot)
    else if (this.#plan.perSecond === undefined) this.#send(slot)
    else {
      this.#free.push(slot)
      this.#pace()
    }
  }

  #rest(slot: Slot): void {
    this.#free.push(slot)
    if (this.#free.length === this.#plan.connections) this.#settled.resolve()
  }

  #send(slot: Slot, since = performance.now()): void {
    slot.since = since
    slot.connection.send(slot.request)
  }

  /** Sends what is due on free connections, and comes again when the next request is due. */
  #pace(): void {
    const { perSecond = 1 } = this.#plan
    clearTimeout(this.#timer)
    for (;;) {
      const due = this.#start + (this.#sent / perSecond) * 1_000
      const ahead = due - performance.now()
      if (ahead > 0) {
        // a timer cannot wait less than a millisecond: what becomes due meanwhile is sent together
        this.#timer = setTimeout(() => this.#pace(), ahead)
        return
      }
      const slot = this.#free.pop()
      if (slot === undefined) return
      this.#late.add(-ahead)
      this.#sent++
      this.#send(slot, due)
    }
  }

  #finish(): void {
    this.#isOver = true
    clearTimeout(this.#timer)
    if (this.#free.length === this.#plan.connections) this.#settled.resolve()
  }
}

/** Opens a run. Throws if a connection fails, or an answer is not as expected. */
export const openRun = async (plan: LoadPlan): Promise<OpenRun> => {
  const run = new Run(plan)
  try {
    await run.open()
  } catch (error) {
    run.close()
    throw error
  }
  return run
}
