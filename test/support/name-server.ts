/** A name server of a test's own, over UDP on loopback: what it answers may differ from question to question (RFC 1035). */
import { createSocket } from "node:dgram"
import { Resolver } from "node:dns/promises"
import { once } from "node:events"
import { isIPv4 } from "node:net"
import { parseAddress } from "../../src/outgoing/address.ts"
import type { Resolve } from "../../src/outgoing/system-names.ts"

/** A running name server. */
export type NameServer = {
  /** Resolves names at this server only, IPv4 and IPv6. */
  readonly resolve: Resolve
  /** Where it listens, for `setServers`. */
  readonly at: string
  /** The questions for IPv4 addresses, by name. */
  readonly asked: string[]
  close(): void
}

/** The addresses of a name at its nth question (from 0), or nothing if it shall be silent. */
export type Zone = (name: string, question: number) => readonly string[] | undefined

const types = { A: 1, AAAA: 28 } as const

/** Name and type of the question, and where it ends. */
const readQuestion = (message: Buffer): { readonly name: string; readonly type: number; readonly end: number } => {
  const labels: string[] = []
  let at = 12
  for (let length = message[at] ?? 0; length > 0; length = message[at] ?? 0) {
    labels.push(message.toString("latin1", at + 1, at + 1 + length))
    at += 1 + length
  }
  return { name: labels.join("."), type: message.readUInt16BE(at + 1), end: at + 5 }
}

const record = (address: string): Buffer => {
  const bytes = parseAddress(address) ?? new Uint8Array(16)
  const data = Buffer.from(isIPv4(address) ? bytes.subarray(12) : bytes)
  const head = Buffer.alloc(12)
  head.writeUInt16BE(0xc00c, 0) // the name of the question
  head.writeUInt16BE(isIPv4(address) ? types.A : types.AAAA, 2)
  head.writeUInt16BE(1, 4) // IN; a time to live of 0 follows
  head.writeUInt16BE(data.length, 10)
  return Buffer.concat([head, data])
}

const answer = (message: Buffer, end: number, addresses: readonly string[]): Buffer => {
  const head = Buffer.from(message.subarray(0, 12))
  head.writeUInt16BE(0x8580, 2) // an authoritative answer without an error
  head.writeUInt16BE(addresses.length, 6)
  head.fill(0, 8, 12)
  return Buffer.concat([head, message.subarray(12, end), ...addresses.map(record)])
}

const resolveAt =
  (resolver: Resolver): Resolve =>
  async (name) => {
    const none = (error: NodeJS.ErrnoException): never[] => {
      if (error.code === "ENODATA" || error.code === "ENOTFOUND") return []
      throw error
    }
    // one after the other, so that the questions have an order
    const four = await resolver.resolve4(name).catch(none)
    const six = await resolver.resolve6(name).catch(none)
    return [
      ...four.map((address) => ({ address, family: 4 as const })),
      ...six.map((address) => ({ address, family: 6 as const })),
    ]
  }

/** Starts a name server. Close it. */
export const startNameServer = async (zone: Zone): Promise<NameServer> => {
  const socket = createSocket("udp4")
  const asked: string[] = []
  let last: readonly string[] | undefined
  socket.on("message", (message, { port, address }) => {
    const { name, type, end } = readQuestion(message)
    // both families of one lookup are one question
    if (type === types.A) {
      last = zone(name, asked.filter((each) => each === name).length)
      asked.push(name)
    }
    if (last === undefined) return
    const isAsked = (each: string) => isIPv4(each) === (type === types.A)
    socket.send(answer(message, end, last.filter(isAsked)), port, address)
  })
  socket.bind(0, "127.0.0.1")
  await once(socket, "listening")
  const resolver = new Resolver({ timeout: 1_000, tries: 1 })
  const at = `127.0.0.1:${socket.address().port}`
  resolver.setServers([at])
  return {
    at,
    resolve: resolveAt(resolver),
    asked,
    close: () => {
      resolver.cancel()
      socket.close()
    },
  }
}
