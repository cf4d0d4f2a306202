/** Free ports for the programs that are measured. */
import { once } from "node:events"
import { type AddressInfo, createServer } from "node:net"

/**
 * A port on 127.0.0.1 that was free a moment ago. Programs that choose a port themselves do not all print it; so they
 * are told one.
 */
export const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, "close")
  return port
}
