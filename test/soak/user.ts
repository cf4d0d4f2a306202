import { setTimeout as sleep } from "node:timers/promises"
import { answerOf, callTool } from "../support/modern.ts"
import { initialize, post } from "../support/reflow.ts"
import { plan } from "./plan.ts"

/** What one request came to. */
export type Outcome = {
  /**
   * `busy` is CapacityExceeded with Retry-After; `held` is InstanceStarting with Retry-After at the end of the whole hold, when a place came too
   * late for the start. Every other answer but the right one is a failure, and says what came.
   */
  readonly kind: "ok" | "busy" | "held" | "failed"
  readonly ms: number
  readonly failure?: string
  /** First request of a visit: its instance may have to be started. */
  readonly isFirst: boolean
  /** The call took longer than the two seconds after which a gateway records it as use. */
  readonly isLong: boolean
}

/** Who calls, and whom to tell. */
export type UserDeps = {
  readonly index: number
  readonly url: string
  readonly token: string
  readonly tell: (outcome: Outcome) => void
  /** Told by the server itself: the Pod that answered this user. */
  readonly servedBy: (index: number, pod: string) => void
  /** True: it comes at once and never goes away. */
  readonly stays?: boolean
  /** No new request after it is aborted; one that was sent is waited for. */
  readonly signal: AbortSignal
}

/** Numbers from 0 to 1 that are the same in each run. */
const createRandom = (seed: number) => {
  let state = seed
  return (): number => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32
    return state / 2 ** 32
  }
}

type Call = {
  readonly tool: string
  readonly args: Readonly<Record<string, unknown>>
  readonly expected: RegExp
  readonly isLong?: true
}

const quick: Call = { tool: "env", args: { names: ["HOSTNAME"] }, expected: /"HOSTNAME":"([^"]+)"/ }
const streamed: Call = { tool: "progress", args: { steps: 5 }, expected: /^5 steps done$/ }
const long: Call = { tool: "slow", args: { seconds: 4 }, expected: /^slept 4 seconds$/, isLong: true }

/** How a user's client sends a call: each request for itself, or in a session of the older protocol. */
type Send = (call: Call) => Promise<Response>

/** A session of the older protocol, opened by its first call. */
const inSession = ({ url, token }: UserDeps): Send => {
  let session: string | undefined
  return async ({ tool, args }) => {
    if (session === undefined) {
      const opened = await post(url, token, initialize())
      const id = opened.headers.get("mcp-session-id")
      if (id === null) return opened
      await opened.text()
      session = id
    }
    const message = { jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: tool, arguments: args } }
    return await post(url, token, message, { "mcp-session-id": session })
  }
}

const stateless =
  ({ url, token }: UserDeps): Send =>
  ({ tool, args }) =>
    callTool(url, token, tool, args)

type Judged = Pick<Outcome, "kind" | "failure"> & { readonly retryAfter?: number; readonly found?: string }

const judge = async (response: Response, expected: RegExp, ms: number): Promise<Judged> => {
  const retryAfter = Number(response.headers.get("retry-after"))
  if (response.status !== 200) {
    const id = response.headers.get("x-request-id")
    return { kind: "failed", failure: `${response.status} ${await response.text()} (request ${id})` }
  }
  const answer = await answerOf(response)
  const { code } = answer.error?.data ?? {}
  if (code === "CapacityExceeded" && retryAfter > 0) return { kind: "busy", retryAfter }
  if (code === "InstanceStarting" && retryAfter > 0 && ms >= plan.hold * 1000) return { kind: "held", retryAfter }
  const words = expected.exec(answer.result?.content?.[0]?.text ?? "")
  if (words === null) return { kind: "failed", failure: JSON.stringify(answer) }
  return words[1] === undefined ? { kind: "ok" } : { kind: "ok", found: words[1] }
}

/** Acts as a user: comes, calls tools for a while, goes away, comes again, until the signal. */
export const live = async (deps: UserDeps): Promise<void> => {
  const { index, signal, tell, servedBy, stays = false } = deps
  const random = createRandom(index + 1)
  const between = ([from, to]: readonly [number, number]): number => from + random() * (to - from)
  const wait = (seconds: number) => sleep(seconds * 1000, undefined, { signal }).catch(() => {})

  const request = async (send: Send, call: Call, isFirst: boolean): Promise<void> => {
    const since = performance.now()
    const judged = await send(call).then(
      (response) => judge(response, call.expected, performance.now() - since),
      (error): Judged => ({ kind: "failed", failure: String(error?.cause ?? error) }),
    )
    const { kind, failure, retryAfter, found } = judged
    const ms = performance.now() - since
    const said = failure === undefined ? {} : { failure: `user ${index}, ${call.tool}: ${failure}` }
    tell({ kind, ms, isFirst, isLong: call.isLong === true, ...said })
    if (found !== undefined) servedBy(index, found)
    if (retryAfter !== undefined) await wait(retryAfter)
  }
  const visit = async (): Promise<void> => {
    const send = index % 2 === 0 ? stateless(deps) : inSession(deps)
    const end = stays ? Number.POSITIVE_INFINITY : performance.now() + between(plan.visit) * 1000
    for (let turn = 0; performance.now() < end && !signal.aborted; turn++) {
      await request(send, turn % 6 === 5 ? long : turn % 3 === 2 ? streamed : quick, turn === 0)
      await wait(between(plan.thought))
    }
  }
  // not all at once
  if (!stays) await wait(random() * plan.absence[1])
  while (!signal.aborted) {
    await visit()
    await wait(between(plan.absence))
  }
}
