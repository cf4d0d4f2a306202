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

/** The body is here. */
export type Read = Admitted & {
  /** The original bytes, which go upstream as they are; undefined for GET and DELETE. */
  readonly body: Buffer | undefined
  readonly reading: Reading | undefined
}

declare const permission: unique symbol

/** The policy allows the request. Only policy.ts makes one: the brand keeps a pipeline without it from compiling. */
export type Permitted = Read & {
  readonly [permission]: true
  /** Without the parameters that nobody asks for any more; see policy.ts. */
  readonly messages: readonly Message[]
  /** From the body: `modern` if its messages name the protocol version themselves; GET and DELETE are legacy. */
  readonly era: Era
  /** True for requests whose answer is a stream without a call: it may be silent and stay open for hours. */
  readonly openStream: boolean
}

/** It is known whose instance answers, and the session is open. */
export type Keyed = Permitted & {
  readonly subjectKey: SubjectKey
  readonly session: OpenSession | undefined
  /** Whether an instance may be made for this request. */
  readonly mode: "create" | "find"
}

/** There is an instance to send it to. */
export type Placed = Keyed & {
  readonly placement: Placement
  /** The server's own session id, where the session stands now. */
  readonly upstreamSession: string | undefined
}

/** The server's answer is coming, from where the request was sent in the end. */
export type Exchanged = {
  readonly placed: Placed
  readonly answer: UpstreamAnswer
  /** Ends the exchange, and the use of the instance that it counts as. Whoever has the exchange must call it. */
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

/** How a body's way to the client ended. */
export type Ending = "complete" | "client gone" | "server gone" | "unreadable" | "stopped"

/** What is known of a request at some point of its way, for errors and the log. */
export type Known = Incoming & Partial<Omit<Placed, keyof Incoming>>

/** One step of the way: takes what is known and only adds to it. The body is there for the one step that reads it. */
export type Step<A extends Incoming, B extends A> = (input: A, body: BodySource) => B | Promise<B>

/** A way from the incoming request to what `B` knows. */
export type Pipeline<B extends Incoming> = {
  /** The same way with one more step, which must not need more than is known by then. */
  readonly step: <C extends B>(next: Step<B, C>) => Pipeline<C>
  /**
   * Goes the way; `seen` hears after each step what is known now, so that a failure can be told in its context. Steps
   * that answer at once are not waited for: on a warm instance only the body and the server are.
   */
  readonly run: (incoming: Incoming, body: BodySource, seen: (known: Known) => void) => B | Promise<B>
}

const andThen = <A, B>(value: A | Promise<A>, next: (value: A) => B | Promise<B>): B | Promise<B> =>
  value instanceof Promise ? value.then(next) : next(value)

const extend = <B extends Known>(run: Pipeline<B>["run"]): Pipeline<B> => ({
  run,
  step: <C extends B>(next: Step<B, C>) =>
    extend<C>((incoming, body, seen) => {
      const tell = (output: C): C => {
        seen(output)
        return output
      }
      return andThen(
        andThen(run(incoming, body, seen), (input) => next(input, body)),
        tell,
      )
    }),
})

/** The way that has no step yet. */
export const pipeline = (): Pipeline<Incoming> => extend<Incoming>((incoming) => incoming)
