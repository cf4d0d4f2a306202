import { once } from "node:events"
import { createServer, type ServerResponse } from "node:http"
import { connect, type Socket } from "node:net"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { isAppError } from "../../../../src/errors.ts"
import type { Unreadable } from "../../../../src/gateway/gateway.ts"
import {
  type HttpListener,
  isLoopback,
  makeServer,
  parseListen,
  startHttpListener,
} from "../../../../src/roles/listen/http-listener.ts"

let listener: HttpListener | undefined
afterEach(async () => {
  await listener?.close()
  listener = undefined
})

test.each([
  ["127.0.0.1:8080", { host: "127.0.0.1", port: 8080 }, true],
  ["[::1]:0", { host: "::1", port: 0 }, true],
  ["localhost:80", { host: "localhost", port: 80 }, true],
  ["0.0.0.0:8080", { host: "0.0.0.0", port: 8080 }, false],
  ["[::]:8080", { host: "::", port: 8080 }, false],
  ["127.0.0.1.example:80", { host: "127.0.0.1.example", port: 80 }, false],
])("%s is understood", (listen, parts, loopback) => {
  expect(parseListen(listen)).toEqual(parts)
  expect(isLoopback(listen)).toBe(loopback)
})

test("the URL names the port that the system chose, at an address that a client can use", async () => {
  listener = await startHttpListener("0.0.0.0:0", (_request, response) => response.end("hello"))
  expect(listener.url).toBe(`http://127.0.0.1:${listener.port}`)
  expect(await (await fetch(listener.url)).text()).toBe("hello")
})

test("a port in use and an address that is not this machine's are told with the address", async () => {
  const other = createServer()
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve))
  const { port } = other.address() as { port: number }
  const inUse = await startHttpListener(`127.0.0.1:${port}`, () => {}).catch((error) => error)
  other.close()
  expect(isAppError(inUse) && inUse.code).toBe("PortInUse")
  expect(inUse.message).toContain(`127.0.0.1:${port}`)
  const absent = await startHttpListener("192.0.2.1:80", () => {}).catch((error) => error)
  expect(isAppError(absent) && absent.code).toBe("ConfigInvalid")
  expect(absent.message).toContain("192.0.2.1:80: this machine has no such address")
})

test("it stops accepting while answers go on, and close ends those", async () => {
  listener = await startHttpListener("127.0.0.1:0", (_request, response) => void response.write("first "))
  const response = await fetch(listener.url)
  const reader = response.body?.getReader()
  await reader?.read()
  await listener.stopAccepting()
  const refused = await new Promise((resolve) => {
    connect(listener?.port ?? 0, "127.0.0.1")
      .on("error", resolve)
      .on("connect", () => resolve("connected"))
  })
  expect(refused).toMatchObject({ code: "ECONNREFUSED" })
  await listener.close()
  await listener.close()
  await expect(reader?.read()).rejects.toThrow()
})

test("it bounds how long a request may take to arrive, and neither calls nor streams nor silence", () => {
  const { timeout, headersTimeout, requestTimeout, keepAliveTimeout, maxRequestsPerSocket } = makeServer()
  // the whole socket, also while an answer is on its way: no limit
  expect(timeout).toBe(0)
  // until the head and the whole of a request are here
  expect([headersTimeout, requestTimeout]).toEqual([30_000, 120_000])
  // between an answer and the next request
  expect([keepAliveTimeout, maxRequestsPerSocket]).toEqual([75_000, 0])
})

describe("while it ends", () => {
  const request = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n"
  /** What was asked, in its order. */
  let asked: ServerResponse[] = []
  const sockets: Socket[] = []

  /** A connection on which nothing has been sent. */
  const open = async (): Promise<Socket> => {
    const socket = connect(listener?.port ?? 0, "127.0.0.1")
    sockets.push(socket)
    await once(socket, "connect")
    return socket
  }
  const arrivals = async (count: number): Promise<void> => {
    await expect.poll(() => asked.length).toBe(count)
  }
  const hear = async (socket: Socket): Promise<string> => String((await once(socket, "data"))[0]).toLowerCase()

  beforeEach(async () => {
    asked = []
    listener = await startHttpListener("127.0.0.1:0", (_request, response) => void asked.push(response))
  })
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy()
  })

  test("each answer whose head is not out says that its connection ends, also to questions from before", async () => {
    const [early, late] = [await open(), await open()]
    early.write(request)
    await arrivals(1)
    listener?.sendAway()
    late.write(request)
    await arrivals(2)
    for (const [index, socket] of [early, late].entries()) {
      const ended = once(socket, "end")
      asked[index]?.end()
      expect(await hear(socket)).toContain("connection: close")
      await ended
    }
  })

  test("a request that has come, but has not been read, as accepting stops is answered", async () => {
    const socket = await open()
    socket.write(request)
    await arrivals(1)
    asked[0]?.end()
    await hear(socket)
    socket.write(request)
    // the bytes are here now; this process is not told before it looks
    const stopped = listener?.stopAccepting()
    await arrivals(2)
    await stopped
    asked[1]?.end()
    expect(await hear(socket)).toContain("connection: close")
  })

  test("one who got an answer on a connection that was to be kept may ask once more, and is waited for", async () => {
    const socket = await open()
    socket.write(request)
    await arrivals(1)
    asked[0]?.writeHead(200).flushHeaders()
    expect(await hear(socket)).toContain("connection: keep-alive")
    await listener?.stopAccepting()
    const settled = listener?.settle(AbortSignal.timeout(20_000))
    asked[0]?.end()
    await hear(socket)
    socket.write(request)
    await arrivals(2)
    asked[1]?.end("again")
    expect(await hear(socket)).toContain("connection: close")
    await settled
  })

  test("an answer is waited for until it is out, however slowly its client reads", async () => {
    const socket = await open()
    socket.write(request)
    await arrivals(1)
    const bytes = 32 * 2 ** 20
    asked[0]?.end(Buffer.alloc(bytes))
    await listener?.stopAccepting()
    const ended = listener?.settle(AbortSignal.timeout(20_000)).then(() => listener?.close())
    let read = 0
    for await (const chunk of socket) read += chunk.length
    expect(read).toBeGreaterThan(bytes)
    await ended
  })

  test("a connection that was just made may ask; one that does not is not waited for", async () => {
    const [asks, silent] = [await open(), await open()]
    const over = once(silent, "close")
    await listener?.stopAccepting()
    asks.write(request)
    await arrivals(1)
    asked[0]?.end()
    expect(await hear(asks)).toContain("connection: close")
    await listener?.settle(new AbortController().signal)
    await listener?.close()
    await over
  })

  test("an idle connection ends at once, and nothing is waited for when time is up", async () => {
    const [idle, busy] = [await open(), await open()]
    for (const [index, socket] of [idle, busy].entries()) {
      socket.write(request)
      await arrivals(index + 1)
    }
    asked[0]?.end()
    await hear(idle)
    const ended = once(idle, "end")
    await listener?.stopAccepting()
    await ended
    await listener?.settle(AbortSignal.abort())
    expect(asked[1]?.closed).toBe(false)
  })
})

describe("what is no request", () => {
  const told: Unreadable[] = []
  const say = (bytes: string, onData: (text: string, socket: Socket) => void = () => {}): Promise<string> =>
    new Promise((resolve) => {
      let text = ""
      const socket = connect(listener?.port ?? 0, "127.0.0.1", () => socket.write(bytes))
      socket.setEncoding("utf8")
      socket.on("data", (piece: string) => {
        text += piece
        onData(text, socket)
      })
      socket.on("error", () => {})
      socket.on("close", () => resolve(text))
    })
  beforeEach(async () => {
    told.length = 0
    listener = await startHttpListener(
      "127.0.0.1:0",
      (_request, response) => void response.write("begun"),
      (unreadable) => told.push(unreadable),
    )
  })

  test.each([
    ["garbage", "\x16\x03\x01 hello\r\n\r\n", 400, "MalformedHttp"],
    [
      "two lengths",
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
      400,
      "MalformedHttp",
    ],
    ["headers without end", `GET / HTTP/1.1\r\nHost: a\r\nX: ${"x".repeat(40_000)}`, 431, "HeadersTooLarge"],
  ])("is answered by a problem with code and request id: %s", async (_name, bytes, status, code) => {
    const answer = await say(bytes)
    const [head = "", body = ""] = answer.split("\r\n\r\n")
    expect(head).toContain(`HTTP/1.1 ${status} `)
    expect(head).toContain("connection: close")
    const { requestId } = told[0] as Unreadable
    expect(JSON.parse(body)).toMatchObject({ status, code, request_id: requestId })
    expect(head).toContain(`x-request-id: ${requestId}`)
    expect(told).toHaveLength(1)
  })

  describe("any more in the middle of its body", () => {
    const begun = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    const silent = async (): Promise<void> => {
      await listener?.close()
      listener = await startHttpListener(
        "127.0.0.1:0",
        () => {},
        (unreadable) => told.push(unreadable),
      )
    }
    test("is told so while nothing is answered", async () => {
      await silent()
      const answer = await say(`${begun}no chunk\r\n`)
      expect(answer).toContain("HTTP/1.1 400 ")
      expect(answer).toContain("MalformedHttp")
      expect(told).toHaveLength(1)
    })
    test("is not told so before the answer to another request", async () => {
      await silent()
      const answer = await say(`GET / HTTP/1.1\r\nHost: a\r\n\r\n${begun}no chunk\r\n`)
      expect([answer, told]).toEqual(["", []])
    })
  })

  test("does not stand in the middle of an answer that has begun", async () => {
    const answer = await say("GET / HTTP/1.1\r\nHost: a\r\n\r\n", (text, socket) => {
      if (text.includes("begun")) socket.write("\x16\x03\x01 hello\r\n\r\n")
    })
    expect(answer).toContain("HTTP/1.1 200 OK")
    expect(answer).not.toContain("MalformedHttp")
    expect(told).toEqual([])
  })
})
