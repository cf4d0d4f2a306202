import { type AddressInfo, connect, createServer, type Socket } from "node:net"

/** A TCP relay on loopback, whose connections a test can cut. */
export type Relay = {
  /** e.g. `http://127.0.0.1:40123` */
  readonly url: string
  /** Breaks off every connection that is open now; new ones are relayed. */
  cut(): void
  close(): Promise<void>
}

/** Starts a relay to a server: `http://127.0.0.1:8080`. `listenOn`: a port, by default a free one. Close it. */
export const startRelay = async (server: string, listenOn = 0): Promise<Relay> => {
  const { hostname, port } = new URL(server)
  const sockets = new Set<Socket>()
  const add = (socket: Socket, other: () => Socket): void => {
    sockets.add(socket)
    socket.on("error", () => {})
    socket.on("close", () => {
      sockets.delete(socket)
      other().destroy()
    })
  }
  const listener = createServer((incoming) => {
    const onward = connect(Number(port), hostname)
    add(incoming, () => onward)
    add(onward, () => incoming)
    incoming.pipe(onward).pipe(incoming)
  })
  await new Promise<void>((resolve) => listener.listen(listenOn, "127.0.0.1", resolve))
  const cut = (): void => {
    for (const socket of sockets) socket.resetAndDestroy()
  }
  return {
    url: `http://127.0.0.1:${(listener.address() as AddressInfo).port}`,
    cut,
    close: async () => {
      const closed = new Promise((resolve) => listener.close(resolve))
      cut()
      await closed
    },
  }
}
