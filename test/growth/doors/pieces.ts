import { IncomingMessage } from "node:http"
import { Socket } from "node:net"
import { setImmediate as turn } from "node:timers/promises"
import { systemClock } from "../../../src/adapters/system/clock.ts"
import { readBytes } from "../../../src/admin/json-body.ts"
import { readBody } from "../../../src/gateway/incoming.ts"
import { createBudget } from "../../../src/intake/bodies.ts"
import type { Door, Family } from "../family.ts"

const mebibyte = 2 ** 20
/** Pieces of one byte in what a socket reads at once: 64 KiB of them, each with its length and two line ends. */
const piecesAtOnce = 10_922

/** Counts as the program does. */
const openHolding = () => {
  const holding = createBudget(256 * mebibyte).open()
  return (bytes: number): boolean => holding.take("corp/alice", bytes)
}

/** Sends so many pieces of `length` bytes each as a server's sockets do: some, and then other connections have their turn. */
const send = async (pieces: number, length: number, push: (piece: Buffer) => void): Promise<void> => {
  const atOnce = Math.max(1, Math.floor(piecesAtOnce / length))
  for (let sent = 0; sent < pieces; sent++) {
    // a piece is a copy of its own, as Node's parser makes it
    push(Buffer.allocUnsafeSlow(length).fill(0x20))
    if (sent % atOnce === atOnce - 1) await turn()
  }
}

const mcpBody = (name: string, length: number): Family => ({
  name,
  largest: 4 * mebibyte,
  make: (size) => async () => {
    const request = new IncomingMessage(new Socket())
    const { signal } = new AbortController()
    const body = readBody(request, { limit: 4 * mebibyte, declared: undefined, signal, take: openHolding() })
    await send(Math.floor(size / length), length, (piece) => void request.push(piece))
    request.push(null)
    await body
  },
})

const restBody = (name: string, length: number): Family => ({
  name,
  largest: mebibyte,
  make: (size) => async () => {
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
    const request = new Request("http://localhost/", { method: "PUT", body: readable, duplex: "half" })
    const body = readBytes(request, { take: openHolding(), clock: systemClock })
    const writer = writable.getWriter()
    await send(Math.floor(size / length), length, (piece) => void writer.write(piece))
    await writer.close()
    await body
  },
})

export const doors: readonly Door[] = [
  {
    name: "pieces of an MCP body",
    limit: "4 MiB (`gateway.max_body`), a quarter of `gateway.max_held`",
    families: [mcpBody("one byte each", 1), mcpBody("1 KiB each", 1_024)],
  },
  {
    name: "pieces of a REST body",
    limit: "1 MiB, a quarter of `gateway.max_held`",
    families: [restBody("one byte each", 1), restBody("1 KiB each", 1_024)],
  },
]
