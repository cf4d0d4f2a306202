import { createServer } from "node:net"
import { AppError } from "../../errors.ts"

/** The loopback ports that the node's containers listen on. */
export type Ports = {
  /** A port that is free now and that no other container of this node was given: `wanted` if possible. */
  take(wanted?: number): Promise<number>
  /** Makes a port available again. */
  release(port: number): void
}

/** The port that listening on `port` gets, or undefined if it is taken. 0 = any. */
const tryPort = (port: number): Promise<number | undefined> =>
  new Promise((resolve) => {
    const server = createServer()
    server.once("error", () => resolve(undefined))
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => {
      const address = server.address()
      const found = typeof address === "object" ? address?.port : undefined
      server.close(() => resolve(found))
    })
  })

const attempts = 20

/** Makes the book of given ports. */
export const createPorts = (): Ports => {
  const given = new Set<number>()
  const claim = (port: number | undefined): port is number => {
    if (port === undefined || given.has(port)) return false
    given.add(port)
    return true
  }
  return {
    take: async (wanted) => {
      for (let attempt = 0; attempt < attempts; attempt++) {
        const port = await tryPort(attempt === 0 ? (wanted ?? 0) : 0)
        if (claim(port)) return port
      }
      throw new AppError("Internal", { detail: "No free port was found on 127.0.0.1." })
    },
    release: (port) => void given.delete(port),
  }
}

/**
 * True if a log tells that the server found its port taken, in the words of Node, Deno, Python, Go, Java or Rust:
 * between our look and its own listen another program may have come first.
 */
export const tellsPortTaken = (log: string): boolean => /EADDRINUSE|AddrInUse|address (is )?already in use/i.test(log)
