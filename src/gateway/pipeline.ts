import type { MCPTarget } from "../api/kinds/mcp-target.ts"
import type { Identity } from "../identity/identity.ts"
import type { SubjectKey } from "../identity/subject-key.ts"
import type { Message, Reading } from "../mcp/message.ts"
import type { ToolPolicy } from "../mcp/tool-policy.ts"
import type { Era } from "../mcp/versions.ts"
import type { Placement } from "../placement/port.ts"
import type { BodySource, Incoming } from "./incoming.ts"
import type { OpenSession } from "./session/session.ts"
import type { UpstreamAnswer } from "./wire/upstream-answer.ts"

/** The caller is known. */
export type Identified = Incoming & { readonly identity: Identity }

/** The caller may use the target: from here on errors are JSON-RPC messages. */
export type Admitted = Identified & {
  readonly target: MCPTarget
  /** Undefined if the target shows all its tools. */
  readonly tools: ToolPolicy | undefined
}

/** The body has been read. */
export type Read = Admitted & {
  /** The original bytes, which go upstream as they are; undefined for GET and DELETE. */
  readonly body: Buffer | undefined
  readonly reading: Reading | undefined
}

declare const permission: unique symbol

/** The policy allows the request. Only policy.ts makes one: the brand keeps a pipeline without it from compiling. */
export type Permitted = Read & {
  readonly [permission]: true
  /** Without the parameters that no later step uses; see policy.ts. */
  readonly messages: readonly Message[]
  /** From the body: `modern` if its messages name the protocol version themselves; GET and DELETE are legacy. */
  readonly era: Era
  /** True for requests whose answer is a stream without a call: it may be silent and stay open for hours. */
  readonly openStream: boolean
}

/** The subject key is known, and the session id has been opened. */
export type Keyed = Permitted & {
  readonly subjectKey: SubjectKey
  readonly session: OpenSession | undefined
  /** Whether an instance may be created for this request. */
  readonly mode: "create" | "find"
}

/** There is an instance to which the request can be sent. */
export type Placed = Keyed & {
  readonly placement: Placement
  /** The server's own session id at this placement; undefined without a session. */
  readonly upstreamSession: string | undefined
}

/** The head of the server's answer has arrived. `placed` is where the request was sent in the end. */
export type Exchanged = {
  readonly placed: Placed
  readonly answer: UpstreamAnswer
  /** Ends the exchange, which then no longer counts as use of the instance. The caller of `exchange` must call it. */
  close(): void
}

/** How a request was answered from upstream. */
export type Answered = {
  readonly status: number
  readonly ending: Ending
  /** When the head of the server's answer was there, milliseconds since the epoch. */
  readonly answeredAt: number
  readonly placed: Placed
}

/** How the transfer of a body to the client ended. */
export type Ending = "complete" | "client gone" | "server gone" | "unreadable" | "stopped"

/** What is known of a request at some step, for errors and the log: the same object from the first step to the last. */
export type Known = Incoming & Partial<Omit<Placed, keyof Incoming>>

/**
 * The same object, for a step that adds to what is known. Steps write only facts that no step before them has written,
 * except that policy.ts abridges the reading. In place: a copy of all facts for each step was 2.5 KB of a warm request.
 */
export const writable = <B extends Incoming>(known: Incoming): { -readonly [K in keyof B]: B[K] } => known as B

/** One step of the request path: takes what is known and only adds to it. `body` is for the one step that reads it. */
export type Step<A extends Incoming, B extends A> = (input: A, body: BodySource) => B | Promise<B>

/** The request path from the incoming request to what `B` knows. */
export type Pipeline<B extends Incoming> = {
  /** The same path with one more step, which must not need more than is known by then. */
  readonly step: <C extends B>(next: Step<B, C>) => Pipeline<C>
  /**
   * Runs the steps. `seen` is called after each step with what is known now, so that a failure can be logged with it. A
   * step that returns no promise is not awaited: on a warm instance only the body and the server are.
   */
  readonly run: (incoming: Incoming, body: BodySource, seen: (known: Known) => void) => B | Promise<B>
}

/** A step of any types: `step` below checks that each one takes what the one before it gives. */
type AnyStep = (input: never, body: BodySource) => Incoming | Promise<Incoming>

type Run = Pipeline<Incoming>["run"]

/**
 * Runs the steps from `at` on. One loop, and a promise only where a step returns one: a chain of promises for each step
 * took 4 µs of a warm request.
 */
const runFrom = (steps: readonly AnyStep[], at: number, ...[input, body, seen]: Parameters<Run>): ReturnType<Run> => {
  let known = input
  for (let next = at; next < steps.length; next++) {
    const output: Incoming | Promise<Incoming> | undefined = steps[next]?.(known as never, body)
    if (output instanceof Promise)
      return output.then((later) => {
        seen(later)
        return runFrom(steps, next + 1, later, body, seen)
      })
    known = output ?? known
    seen(known)
  }
  return known
}

const withSteps = <B extends Incoming>(steps: readonly AnyStep[]): Pipeline<B> => ({
  run: (incoming, body, seen) => runFrom(steps, 0, incoming, body, seen) as B | Promise<B>,
  step: <C extends B>(next: Step<B, C>) => withSteps<C>([...steps, next]),
})

/** The path without any step. */
export const pipeline = (): Pipeline<Incoming> => withSteps<Incoming>([])
