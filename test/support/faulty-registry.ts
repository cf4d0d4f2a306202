/** An npm registry with faults that no real one can be made to have: written by hand, on loopback. */
import { createServer, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { documentOf, type NpmPackage } from "./npm-registry.ts"

/** What is wrong with it. */
export type Fault =
  /** The tarball has other bytes than its checksum says. */
  | "changed"
  /** The connection is reset in the middle of the tarball. */
  | "reset"
  /** The tarball never ends. */
  | "endless"
  /** Every answer has this status. */
  | { readonly status: number }

/** A running registry. */
export type FaultyRegistry = {
  readonly url: string
  /** What it was asked for, `GET /name`. */
  readonly requests: readonly string[]
  close(): Promise<void>
}

const sendTarball = (response: ServerResponse, tarball: Buffer, fault: Fault): void => {
  if (fault === "changed") return void response.end(Buffer.concat([tarball.subarray(0, -1), Buffer.from("x")]))
  response.writeHead(200, { "content-length": tarball.length })
  response.write(tarball.subarray(0, 10))
  if (fault === "reset") setImmediate(() => response.socket?.resetAndDestroy())
}

/** Starts a registry that has this package, and this fault. */
export const startFaultyRegistry = async (fault: Fault, each: NpmPackage): Promise<FaultyRegistry> => {
  const requests: string[] = []
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`)
    const { document, tarball } = documentOf(each, `http://${request.headers.host}/`)
    if (typeof fault === "object") response.writeHead(fault.status).end("{}")
    else if (request.url?.endsWith(".tgz") === true) sendTarball(response, tarball, fault)
    else response.setHeader("content-type", "application/json").end(JSON.stringify(document))
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    requests,
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
