/** A load whose rate does not depend on the answers, over connections that are kept, and what failed of it. */
import { Agent, type IncomingMessage, request } from "node:http"
import { text } from "node:stream/consumers"
import { answerOf } from "../../support/modern.ts"

/** Somebody who calls. Connections are kept and used again, as many as there are requests at once. */
export type Caller = { readonly url: string; readonly token: string; readonly agent: Agent }

/** Makes a caller; its connections live until its agent is destroyed. */
export const createCaller = (url: string, token: string): Caller => ({
  url,
  token,
  agent: new Agent({ keepAlive: true }),
})

/** A request of a caller. */
export type Call = {
  readonly method?: "GET" | "POST"
  /** The JSON-RPC message. */
  readonly message?: object
  readonly headers?: Readonly<Record<string, string>>
}

/**
 * Sends a request once and resolves with the answer's head; nothing is ever sent again. Rejects with why there is no
 * answer, and whether the connection had been used before.
 */
export const send = (
  { url, token, agent }: Caller,
  { method = "POST", message, headers }: Call,
): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    const body = message === undefined ? undefined : JSON.stringify(message)
    const outgoing = request(url, {
      agent,
      method,
      headers: {
        authorization: `Bearer ${token}`,
        accept: method === "GET" ? "text/event-stream" : "application/json, text/event-stream",
        ...(body === undefined
          ? {}
          : { "content-type": "application/json", "content-length": Buffer.byteLength(body) }),
        ...headers,
      },
    })
    outgoing.on("response", resolve)
    outgoing.on("error", (error) => {
      const way = outgoing.reusedSocket ? "a connection used before" : "a new connection"
      reject(new Error(`${error.message} on ${way}`, { cause: error }))
    })
    outgoing.end(body)
  })

/** The whole answer to a request; anything but 200 is an error. */
export const answerTo = async (caller: Caller, call: Call, id: number | string) => {
  const response = await send(caller, call)
  const body = await text(response)
  const { statusCode = 0 } = response
  if (statusCode !== 200) throw new Error(`${statusCode}: ${body}`)
  const headers = { "content-type": response.headers["content-type"] ?? "" }
  return { headers: response.headers, answer: await answerOf(new Response(body, { headers }), id) }
}

/** A load that runs. */
export type Load = {
  /** What went wrong so far: when, with what, how. */
  readonly failures: string[]
  /** Counts one more request, whose failure is the load's. */
  count(name: string, work: Promise<unknown>): void
  /** Sends nothing more, waits for the answers that are to come; resolves with how many requests there were. */
  stop(): Promise<number>
}

/** Starts what is due, `perSecond` times a second, whether or not answers come. `next` gets the number of the request. */
export const startLoad = (perSecond: number, next: (index: number) => readonly [string, Promise<unknown>]): Load => {
  const began = performance.now()
  const failures: string[] = []
  const open = new Set<Promise<unknown>>()
  let sent = 0
  let counted = 0
  const count = (name: string, work: Promise<unknown>): void => {
    counted++
    const since = performance.now()
    const done: Promise<unknown> = work
      .catch((error: Error) => {
        const at = ((since - began) / 1_000).toFixed(2)
        failures.push(`${name}, sent at ${at} s, after ${Math.round(performance.now() - since)} ms: ${error.message}`)
      })
      .finally(() => open.delete(done))
    open.add(done)
  }
  const timer = setInterval(() => {
    const due = ((performance.now() - began) * perSecond) / 1_000
    for (; sent < due; sent++) count(...next(sent))
  }, 5)
  return {
    failures,
    count,
    stop: async () => {
      clearInterval(timer)
      await Promise.all(open)
      return counted
    },
  }
}
