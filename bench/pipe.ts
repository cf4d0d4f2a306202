/**
 * The bare pipe, with which the gateway is compared: a minimal proxy of Node and undici. It reads the body of a request,
 * sends it on, and passes on status, content type and body of the answer as they arrive. It checks nothing, and knows no
 * slow readers.
 *
 *   node bench/pipe.ts --port 9000 --to http://127.0.0.1:8080
 */
import { createServer, type RequestListener } from "node:http"
import { parseArgs } from "node:util"
import { type Dispatcher, Pool } from "undici"

const createPipe = (to: string): RequestListener => {
  const pool = new Pool(to, { pipelining: 1, bodyTimeout: 0 })
  return (request, response) => {
    const chunks: Buffer[] = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => {
      let controller: Dispatcher.DispatchController | undefined
      response.on("close", () => response.writableFinished || controller?.abort(new Error("the client is gone")))
      pool.dispatch(
        {
          path: request.url ?? "/",
          method: request.method as Dispatcher.HttpMethod,
          headers: ["content-type", "application/json", "accept", request.headers.accept ?? ""],
          body: chunks.length === 0 ? null : Buffer.concat(chunks),
        },
        {
          onRequestStart: (started) => {
            controller = started
          },
          onResponseStart: (_, status, headers) => {
            const length = headers["content-length"]
            response.writeHead(status, {
              "content-type": String(headers["content-type"]),
              ...(length === undefined ? {} : { "content-length": String(length) }),
            })
            // the body of a stream may begin much later
            if (length === undefined) response.flushHeaders()
          },
          onResponseData: (_, chunk) => void response.write(chunk),
          onResponseEnd: () => void response.end(),
          onResponseError: () => void response.destroy(),
        },
      )
    })
  }
}

const { values } = parseArgs({ options: { port: { type: "string" }, to: { type: "string" } } })
createServer(createPipe(values.to ?? "")).listen({ port: Number(values.port), host: "127.0.0.1", backlog: 4_096 })
