import type { RequestListener } from "node:http"
import type { Config } from "../config/schema.ts"
import type { Unreadable } from "../gateway/gateway.ts"
import { type HttpListener, isLoopback, startHttpListener } from "./http-listener.ts"
import type { Base } from "./role.ts"

/** What serves the public port. */
export type PublicServer = {
  readonly handler: RequestListener
  /** Hears of what could not be read as a request, and was refused. */
  readonly tellUnreadable: (unreadable: Unreadable) => void
}

/** The port of MCP endpoints and REST API. */
export type PublicListener = {
  readonly listener: HttpListener
  /** Origin under which clients reach it. */
  readonly publicUrl: string
  /** Hands the requests that come from now on to `server`; before that they get 503. */
  serve(server: PublicServer): void
}

/** The configured origin, else this machine's: names that the guard of a listener on all addresses lets in too. */
const publicUrlOf = ({ gateway }: Config, { url, port }: HttpListener): string => {
  if (gateway.public_url !== "") return gateway.public_url
  return isLoopback(gateway.listen) ? url : `http://localhost:${port}`
}

/** Listens at gateway.listen at once, so that a port in use is told before anything runs. */
export const listenPublicly = async ({ config, started }: Base): Promise<PublicListener> => {
  let server: PublicServer = {
    handler: (_request, response) => {
      response.writeHead(503, { "retry-after": "1" }).end()
    },
    tellUnreadable: () => {},
  }
  const listener = await startHttpListener(
    config.gateway.listen,
    (request, response) => server.handler(request, response),
    (unreadable) => server.tellUnreadable(unreadable),
  )
  await started.add("listener", listener.close)
  return {
    listener,
    publicUrl: publicUrlOf(config, listener),
    serve: (next) => {
      server = next
    },
  }
}
