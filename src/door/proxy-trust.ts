import type { IncomingMessage } from "node:http"
import { BlockList, isIP } from "node:net"
import type { ClientOrigin } from "../gateway/incoming.ts"

/** What may be believed of the request's way to us. */
type ProxyTrust = (address: string) => boolean

const familyOf = (address: string): "ipv4" | "ipv6" => (isIP(address) === 6 ? "ipv6" : "ipv4")

/** Decides by networks in CIDR notation (or single addresses) which proxies' X-Forwarded-* headers are believed. */
export const trustNetworks = (networks: readonly string[]): ProxyTrust => {
  if (networks.length === 0) return () => false
  const list = new BlockList()
  for (const network of networks) {
    const [address = "", bits] = network.split("/")
    if (bits === undefined) list.addAddress(address, familyOf(address))
    else list.addSubnet(address, Number(bits), familyOf(address))
  }
  return (address) => {
    const plain = address.startsWith("::ffff:") && isIP(address.slice(7)) === 4 ? address.slice(7) : address
    return isIP(plain) !== 0 && list.check(plain, familyOf(plain))
  }
}

/** Where the request came from: by its connection, or by X-Forwarded-* if the connection is a trusted proxy's. */
export const clientOrigin = (request: IncomingMessage, trusts: ProxyTrust): ClientOrigin => {
  const address = request.socket.remoteAddress ?? "unknown"
  const host = request.headers.host ?? ""
  const forwarded = request.headers["x-forwarded-for"]
  if (forwarded === undefined || !trusts(address)) return { address, host, protocol: "http" }
  const hops = String(forwarded)
    .split(",")
    .map((hop) => hop.trim())
  return {
    address: hops.findLast((hop) => !trusts(hop)) ?? hops[0] ?? address,
    host: String(request.headers["x-forwarded-host"] ?? host),
    protocol: request.headers["x-forwarded-proto"] === "https" ? "https" : "http",
  }
}
