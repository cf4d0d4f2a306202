import { createOutgoingGuard } from "../../../src/outgoing/guard.ts"
import type { Door, Family } from "../family.ts"

/** Longest host that a URL of a target has (api/kinds), in characters. */
const longestHost = 2_048
/** As many addresses as fit into one answer of DNS over TCP (RFC 1035 §4.2.2). */
const mostAddresses = 4_096
/** So many allowances as a configuration of 64 KiB has. */
const mostAllowed = 4_096

type Names = {
  readonly addresses?: readonly string[]
  readonly allow_hosts?: readonly string[]
  readonly allow_networks?: readonly string[]
}

const guardOf = ({ addresses = [], allow_hosts = [], allow_networks = [] }: Names) =>
  createOutgoingGuard({
    options: { allow_http: false, allow_hosts, allow_networks },
    closed: () => [{ host: "10.96.0.1", port: 443 }],
    resolve: async () => addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 })),
  })

const lookingUp = (guard: ReturnType<typeof guardOf>, host: string) => async () => {
  try {
    await guard.lookup(host, 443)
  } catch {
    // refused
  }
}

const host = (name: string, text: (size: number) => string): Family => ({
  name,
  largest: longestHost,
  make: (size) => {
    const guard = guardOf({ addresses: ["8.8.8.8"], allow_hosts: ["*.example", "a.example"] })
    return lookingUp(guard, text(size))
  },
})

const numbers = (count: number): readonly number[] => Array.from({ length: count }, (_, at) => at)
const publicAddress = (at: number): string => `8.${(at >> 16) & 255}.${(at >> 8) & 255}.${at & 255}`

const answer = (name: string, address: (at: number) => string): Family => ({
  name,
  largest: mostAddresses,
  make: (size) => lookingUp(guardOf({ addresses: numbers(size).map(address) }), "mcp.example"),
})

/** The worst cases of a host, and of what a name server says of it. */
export const doors: readonly Door[] = [
  {
    name: "host of a remote server, and the addresses that DNS has for it",
    limit: "253 characters, 4,096 addresses",
    families: [
      host("a name of dots", (size) => ".".repeat(size)),
      host("a name of many labels", (size) => "a.".repeat(size / 2)),
      host("one label", (size) => "a".repeat(size)),
      host("digits", (size) => "1".repeat(size)),
      host("colons", (size) => `[${":".repeat(size)}]`),
      host("hex groups", (size) => `[${"ffff:".repeat(size / 5)}]`),
      host("a zone", (size) => `fe80::1%${"1".repeat(size)}`),
      answer("public IPv4 addresses", publicAddress),
      answer("public IPv6 addresses", (at) => `2606:4700:${(at >> 8).toString(16)}:${(at & 255).toString(16)}::1`),
      answer("one address again and again", () => "8.8.8.8"),
      answer("IPv4 addresses inside of IPv6", (at) => `64:ff9b::${publicAddress(at)}`),
      {
        name: "a long list of allowed hosts",
        largest: mostAllowed,
        make: (size) => {
          const allow_hosts = numbers(size).map((at) => `h${at}.example:${(at % 60_000) + 1}`)
          return () => lookingUp(guardOf({ allow_hosts, addresses: ["8.8.8.8"] }), "a.b.example")()
        },
      },
      {
        name: "one allowed host with many ports",
        largest: mostAllowed,
        make: (size) => {
          const allow_hosts = numbers(size).map((at) => `h.example:${at + 1}`)
          return () => lookingUp(guardOf({ allow_hosts, addresses: ["8.8.8.8"] }), "a.b.example")()
        },
      },
      {
        name: "a long list of allowed networks",
        largest: mostAllowed,
        make: (size) => {
          const allow_networks = numbers(size).map((at) => `${publicAddress(at)}/32`)
          return () => lookingUp(guardOf({ allow_networks, addresses: ["9.9.9.9"] }), "a.example")()
        },
      },
    ],
  },
]
