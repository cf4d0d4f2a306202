import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"

/** A load balancer that gives each request to the next of its servers, whoever sent it. */
export type Balancer = {
  /** e.g. `http://127.0.0.1:40123` */
  readonly url: string
  /** How many requests each server got, in the order of the servers. */
  readonly served: readonly number[]
  /** The servers from now on: `http://127.0.0.1:8080`. */
  lead(servers: readonly string[]): void
  close(): Promise<void>
}

/** Passes one request on, as it is. Bytes go as they come, either way; who goes away takes the other side along. */
const forward = (server: string, incoming: IncomingMessage, response: ServerResponse): void => {
  const { hostname, port } = new URL(server)
  const { method, url, rawHeaders } = incoming
  const onward = request({ hostname, port, method, path: url, headers: rawHeaders, agent: false }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.rawHeaders)
    response.flushHeaders()
    answer.on("error", () => response.destroy())
    answer.pipe(response)
  })
  onward.on("error", () => response.destroy())
  response.on("close", () => onward.destroy())
  incoming.pipe(onward)
}

/** Starts a balancer on loopback that leads nowhere yet. Close it. */
export const startBalancer = async (): Promise<Balancer> => {
  let servers: readonly string[] = []
  const served: number[] = []
  let turn = 0
  const listener = createServer((incoming, response) => {
    const at = turn++ % servers.length
    served[at] = (served[at] ?? 0) + 1
    const server = servers[at]
    if (server === undefined) response.writeHead(503).end()
    else forward(server, incoming, response)
  })
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve))
  return {
    url: `http://127.0.0.1:${(listener.address() as AddressInfo).port}`,
    served,
    lead: (next) => {
      servers = next
    },
    close: async () => {
      listener.closeAllConnections()
      await new Promise((resolve) => listener.close(resolve))
    },
  }
}
