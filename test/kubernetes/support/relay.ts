import { connect, createServer, type Server, type Socket } from "node:net"

/** A relay between a client and the API server, below TLS: it sees connections, not requests. */
export type Relay = {
  /** Its address, e.g. `https://127.0.0.1:40123`. */
  readonly url: string
  /** Connections since the start, refused ones not counted. */
  readonly opened: number
  /** Connections that are open now. */
  readonly open: number
  /** Resets all open connections. */
  reset(): void
  /** From now on bytes of the open connections go nowhere, without anybody being told. New connections work. */
  stall(): void
  /** The server is gone: connections are reset, and new ones refused. */
  leave(): Promise<void>
  /** The server is back. */
  comeBack(): Promise<void>
  close(): Promise<void>
}

type Pair = { readonly near: Socket; readonly far: Socket }

const join = ({ near, far }: Pair, onEnd: () => void): void => {
  near.pipe(far)
  far.pipe(near)
  for (const socket of [near, far]) {
    // an error is followed by close
    socket.on("error", () => {})
    socket.on("close", () => {
      near.destroy()
      far.destroy()
      onEnd()
    })
  }
}

const listen = (server: Server, port: number): Promise<number> =>
  new Promise((resolve, reject) => {
    server.once("error", reject)
    server.listen(port, "127.0.0.1", () => {
      const address = server.address()
      resolve(typeof address === "object" && address !== null ? address.port : 0)
    })
  })

/** Starts a relay to an API server, e.g. `https://198.18.255.1:6443`. Close it. */
export const startRelay = async (upstream: string): Promise<Relay> => {
  const { hostname, port } = new URL(upstream)
  const pairs = new Set<Pair>()
  let opened = 0
  const accept = (near: Socket): void => {
    opened += 1
    const pair = { near, far: connect(Number(port === "" ? 443 : port), hostname) }
    pairs.add(pair)
    join(pair, () => pairs.delete(pair))
  }
  const begin = async (at: number): Promise<{ server: Server; port: number }> => {
    const server = createServer(accept)
    return { server, port: await listen(server, at) }
  }
  const reset = (): void => {
    for (const { near, far } of pairs) {
      near.resetAndDestroy()
      far.destroy()
    }
  }
  const end = (server: Server): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve())
      reset()
    })
  let current = await begin(0)

  return {
    url: `https://127.0.0.1:${current.port}`,
    get opened() {
      return opened
    },
    get open() {
      return pairs.size
    },
    reset,
    stall: () => {
      for (const { near, far } of pairs) {
        near.unpipe(far)
        far.unpipe(near)
        // read on, or the client would see a full buffer
        near.resume()
        far.resume()
      }
    },
    leave: () => end(current.server),
    comeBack: async () => {
      current = await begin(current.port)
    },
    close: () => end(current.server),
  }
}
