import { createServer } from "node:net"
import { AppError } from "../../errors.ts"

/** The loopback ports that the node's containers listen on. */
export type Ports = {
  /**
   * A port that is free now and not given to another container of this node: `wanted` if possible. Throws `Internal`.
   */
  take(wanted?: number): Promise<number>
  /** Makes a port available again. */
  release(port: number): void
}

/**
 * Listens on `port` for a moment and returns the port, or undefined if it is taken. 0 = a free port of the system's
 * choice.
 */
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

/** Makes the register of the ports that were given to containers. */
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
 * True if a log has a message of Node, Deno, Python, Go, Java or Rust that the port is in use: between the node's check
 * of the port and the server's own listen, another program may have taken the port.
 */
export const reportsPortTaken = (log: string): boolean => /EADDRINUSE|AddrInUse|address (is )?already in use/i.test(log)
