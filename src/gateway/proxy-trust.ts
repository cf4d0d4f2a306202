import { BlockList, isIP } from "node:net"
import type { ProxyTrust } from "./wire/headers.ts"

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
