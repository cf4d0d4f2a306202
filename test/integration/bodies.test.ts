/** One memory for all bodies: what one caller can take of it, what others still get, and that all of it comes back. */
import { connect, type Socket } from "node:net"
import { afterEach, describe, expect, test } from "vitest"
import { AppError } from "../../src/errors.ts"
import { fakeClock } from "../support/fake-clock.ts"
import { eventually } from "../support/processes.ts"
import {
  answerJson,
  type FakeServer,
  gate,
  lifeAt,
  message,
  post,
  raw,
  type Stage,
  startServer,
  startStage,
} from "./gateway-stage.ts"

const mebibyte = 2 ** 20
const kibibyte = 2 ** 10
const maxHeld = 8 * mebibyte
const maxBodyBytes = mebibyte

let stage: Stage
let server: FakeServer | undefined

afterEach(async () => {
  await stage.close()
  await server?.close()
  server = undefined
})

/** Bytes that come one after the other over a connection of its own. */
type Slow = {
  readonly socket: Socket
  /** What came back. */
  readonly answer: () => string
  /** How the connection ended, if it did. */
  readonly end: () => "end" | "reset" | undefined
}

const headOf = (subject: string, length: number): string =>
  [
    "POST /mcp/demo HTTP/1.1",
    "host: localhost",
    `authorization: Bearer token-of-${subject}`,
    "content-type: application/json",
    "accept: application/json, text/event-stream",
    `content-length: ${length}`,
    "\r\n",
  ].join("\r\n")

/** Opens a connection and sends the head and so much of the body; then it is silent. */
const openSlow = (subject: string, sent: number, declared = maxBodyBytes): Slow => {
  let answer = ""
  let end: "end" | "reset" | undefined
  const socket = connect(stage.port, "127.0.0.1", () => socket.write(headOf(subject, declared) + " ".repeat(sent)))
  socket.on("data", (chunk) => {
    answer += chunk
  })
  socket.on("end", () => {
    end ??= "end"
  })
  socket.on("error", () => {
    end ??= "reset"
  })
  return { socket, answer: () => answer, end: () => end }
}

const closeAll = (all: readonly Slow[]): void => {
  for (const { socket } of all) socket.destroy()
}

const isBack = () => eventually(() => stage.bodies.held === 0, 5_000, "all bytes are given back")

/** A call whose body has this many bytes. */
const callOf = (bytes: number): string => JSON.stringify(message("tools/list")).padEnd(bytes)

describe("bodies that never end", () => {
  test("of 300 connections of one caller hold a quarter at most; the others are refused, can read it, and are ended", async () => {
    const clock = fakeClock()
    stage = await startStage({ maxHeld, maxBodyBytes, clock })
    server = await startServer((seen, response) => answerJson(response, seen, {}))
    stage.placement.now = lifeAt(server.url)
    const slow = Array.from({ length: 300 }, () => openSlow("alice", 64 * kibibyte))
    const refused = () => slow.filter(({ answer }) => answer().includes("BodiesTooLarge"))
    // whoever is not refused holds what he sent
    await eventually(() => refused().length >= 300 - 32, 10_000, "what is too much is refused")
    expect(stage.bodies.held).toBeLessThanOrEqual(maxHeld / 4)
    for (const { answer } of refused()) {
      expect(answer()).toMatch(/^HTTP\/1\.1 503 /)
      expect(answer()).toMatch(/\r\nretry-after: 5\r\n/i)
      expect(answer()).toMatch(/\r\nconnection: close\r\n/i)
      expect(answer()).toMatch(/"code":-32011.*"retryable":true/)
    }
    const other = await post(stage, message("tools/list"), { subject: "bob" })
    expect(other.status).toBe(200)
    await clock.advance(2_000)
    await eventually(() => refused().every(({ end }) => end() === "end"), 5_000, "their connections end")
    closeAll(slow)
    await isBack()
  })

  test("hold what came, not what was declared", async () => {
    stage = await startStage({ maxHeld, maxBodyBytes })
    const slow = Array.from({ length: 50 }, () => openSlow("alice", 100))
    await eventually(() => stage.bodies.held >= 50 * 100, 5_000, "all are read")
    expect(stage.bodies.held).toBeLessThanOrEqual(50 * kibibyte)
    closeAll(slow)
    await isBack()
  })

  test("of a client that sends all before it reads are read to their end, so that no reset takes the answer away", async () => {
    stage = await startStage({ maxHeld: 64 * kibibyte, maxBodyBytes })
    const sender = openSlow("alice", 64 * kibibyte)
    sender.socket.pause()
    await eventually(() => stage.lines.some(({ fields }) => fields.code === "BodiesTooLarge"), 5_000, "it is refused")
    for (let sent = 64 * kibibyte; sent < maxBodyBytes; sent += 64 * kibibyte)
      await new Promise((resolve) => sender.socket.write(" ".repeat(64 * kibibyte), resolve))
    sender.socket.resume()
    await eventually(() => sender.end() !== undefined, 5_000, "the connection ends")
    expect(sender.end()).toBe("end")
    expect(sender.answer()).toMatch(/^HTTP\/1\.1 503 /)
    await isBack()
  })

  test("of a client that sends at once and reads later are refused as readably", async () => {
    stage = await startStage({ maxHeld: 64 * kibibyte, maxBodyBytes })
    const answer = await raw(stage.port, headOf("alice", maxBodyBytes) + " ".repeat(maxBodyBytes))
    expect(answer).toMatch(/^HTTP\/1\.1 503 /)
    expect(answer).toContain("BodiesTooLarge")
    await isBack()
  })
})

describe("bodies that wait", () => {
  test("of 64 requests of one caller leave room for another's, and are served in the end", async () => {
    stage = await startStage({ maxHeld, maxBodyBytes })
    server = await startServer((seen, response) => answerJson(response, seen, {}))
    stage.placement.now = lifeAt(server.url)
    const started = gate()
    stage.placement.hold = async ({ identity }) => {
      if (identity.subject === "alice") await started.promise
    }
    const statuses: number[] = []
    const all = Array.from({ length: 64 }, async () => {
      const answer = await post(stage, callOf(mebibyte / 4), { subject: "alice" })
      statuses.push(answer.status)
      if (answer.status === 503) expect(answer.headers.get("retry-after")).toBe("5")
    })
    await eventually(() => statuses.length + stage.placement.requests.length === 64, 10_000, "all wait or are refused")
    expect(new Set(statuses)).toEqual(new Set([503]))
    expect(stage.placement.requests.length).toBeGreaterThan(0)
    expect(stage.placement.requests.length).toBeLessThanOrEqual(8)
    expect(stage.bodies.held).toBeLessThanOrEqual(maxHeld / 4)
    const others = await Promise.all(
      Array.from({ length: 4 }, (_, index) => post(stage, callOf(mebibyte / 4), { subject: `other-${index}` })),
    )
    expect(others.map(({ status }) => status)).toEqual([200, 200, 200, 200])
    started.resolve()
    await Promise.all(all)
    expect(statuses.filter((status) => status === 200)).toHaveLength(
      stage.placement.requests.filter(({ identity }) => identity.subject === "alice").length,
    )
    await isBack()
  })
})

describe("whatever becomes of a request, what its body held is given back", () => {
  const bytes = 100 * kibibyte
  const setUp = async (answer?: Parameters<typeof startServer>[0]): Promise<void> => {
    stage = await startStage({ maxHeld, maxBodyBytes })
    server = await startServer(answer ?? ((seen, response) => answerJson(response, seen, {})))
    stage.placement.now = lifeAt(server.url)
  }
  const isHeld = () => eventually(() => stage.bodies.held >= bytes, 5_000, "the body is held")

  test("served, and held for as long as its server takes", async () => {
    const answered = gate()
    await setUp(async (seen, response) => {
      await answered.promise
      answerJson(response, seen, {})
    })
    const answer = post(stage, callOf(bytes))
    await isHeld()
    answered.resolve()
    expect((await answer).status).toBe(200)
    await isBack()
  })

  test.each<[string, () => string, number]>([
    ["no JSON", () => "{".padEnd(bytes), 400],
    ["too large", () => "".padEnd(2 * maxBodyBytes), 413],
  ])("refused: %s", async (_name, body, status) => {
    await setUp()
    expect((await post(stage, body())).status).toBe(status)
    await isBack()
  })

  test("without a place", async () => {
    await setUp()
    stage.placement.hold = async () => {
      throw new AppError("InstanceFailed", { detail: "It does not start." })
    }
    expect((await post(stage, callOf(bytes))).status).toBe(200)
    await isBack()
  })

  test("with a server that is gone", async () => {
    await setUp()
    await server?.close()
    expect((await post(stage, callOf(bytes))).status).toBe(200)
    await isBack()
  })

  test("with a server that breaks off its answer", async () => {
    await setUp((_seen, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" }).write(": hello\n\n")
      setImmediate(() => response.destroy())
    })
    const answer = await post(stage, callOf(bytes))
    await answer.text().catch(() => {})
    await isBack()
  })

  test("left by its client while it sends", async () => {
    await setUp()
    const slow = openSlow("alice", bytes)
    await isHeld()
    slow.socket.destroy()
    await isBack()
  })

  test("broken by its client with a chunk that is none", async () => {
    await setUp()
    const chunked = headOf("alice", 0).replace("content-length: 0", "transfer-encoding: chunked")
    await raw(stage.port, `${chunked}5\r\n12345\r\nno length\r\n`)
    await isBack()
  })

  test("left by its client while it waits", async () => {
    await setUp()
    stage.placement.hold = ({ signal }) =>
      new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)))
    const client = new AbortController()
    const answer = post(stage, callOf(bytes), { signal: client.signal }).catch(() => {})
    await isHeld()
    client.abort()
    await answer
    await isBack()
  })

  test("left by its client while its server answers", async () => {
    await setUp((_seen, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" }).write(": hello\n\n")
    })
    const client = new AbortController()
    const answer = await post(stage, callOf(bytes), { signal: client.signal })
    await isHeld()
    client.abort()
    await answer.text().catch(() => {})
    await isBack()
  })

  test("ended by the end of a drain, while it is read and while it waits", async () => {
    await setUp()
    stage.placement.hold = ({ signal }) =>
      new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)))
    const slow = openSlow("alice", bytes)
    const waiting = post(stage, callOf(bytes), { subject: "bob" })
    await eventually(() => stage.bodies.held >= 2 * bytes, 5_000, "both are held")
    const over = new AbortController()
    const drained = stage.gateway.drain(over.signal)
    over.abort()
    await drained
    expect((await waiting).status).toBe(200)
    await eventually(() => slow.answer().includes("ShuttingDown"), 5_000, "who still sends can read why it ends")
    expect(stage.bodies.held).toBe(0)
    slow.socket.destroy()
  })
})
