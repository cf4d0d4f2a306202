import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { request } from "node:https"
import type { AddressInfo } from "node:net"

/** Answers in the API server's stead, or says `pass`. */
export type Decide = (method: string, url: URL) => { readonly code: number; readonly retryAfter?: number } | "pass"

/** An HTTP proxy in front of the API server that may answer in its stead. */
export type Front = {
  /** Its address, without TLS: `http://127.0.0.1:40123`. */
  readonly url: string
  /** Requests so far, as `GET /api/v1/…`. */
  readonly requests: string[]
  /** Decides the coming requests; undefined = all pass. */
  set(decide: Decide | undefined): void
  /** Ends open watches with an ERROR frame. */
  breakWatches(code: number): void
  close(): Promise<void>
}

const statusOf = (code: number): string =>
  JSON.stringify({ kind: "Status", apiVersion: "v1", status: "Failure", code, message: `proxy answers ${code}` })

/** Starts a proxy to an API server whose certificate is signed by `ca`. Close it. */
export const startFront = async (upstream: string, ca: string | undefined): Promise<Front> => {
  const requests: string[] = []
  const watches = new Set<ServerResponse>()
  let decide: Decide = () => "pass"

  const forward = (incoming: IncomingMessage, response: ServerResponse, url: URL): void => {
    const { method = "GET", headers } = incoming
    const options = { method, headers: { ...headers, host: new URL(upstream).host }, ca, agent: false } as const
    const onward = request(`${upstream}${url.pathname}${url.search}`, options, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      response.flushHeaders()
      if (url.searchParams.get("watch") === "true") watches.add(response)
      answer.on("error", () => response.destroy())
      answer.pipe(response)
    })
    onward.on("error", () => response.destroy())
    response.on("error", () => {})
    response.on("close", () => {
      watches.delete(response)
      onward.destroy()
    })
    incoming.pipe(onward)
  }
  const server = createServer((incoming, response) => {
    const url = new URL(incoming.url ?? "/", "http://front")
    const method = incoming.method ?? "GET"
    requests.push(`${method} ${url.pathname}${url.search}`)
    const decision = decide(method, url)
    if (decision === "pass") return forward(incoming, response, url)
    const headers = {
      "content-type": "application/json",
      ...(decision.retryAfter === undefined ? {} : { "retry-after": String(decision.retryAfter) }),
    }
    incoming.resume()
    response.writeHead(decision.code, headers).end(statusOf(decision.code))
  })
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve)
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    set: (next) => {
      decide = next ?? (() => "pass")
    },
    breakWatches: (code) => {
      for (const watch of watches) watch.end(`${JSON.stringify({ type: "ERROR", object: { code } })}\n`)
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
