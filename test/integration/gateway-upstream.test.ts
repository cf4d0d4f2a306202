import { once } from "node:events"
import { connect as connectTo, createServer } from "node:net"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { fakeClock } from "../support/fake-clock.ts"
import {
  answerJson,
  type FakeServer,
  gate,
  initialize,
  lifeAt,
  message,
  modernCall,
  modernRequest,
  post,
  type Stage,
  startServer,
  startStage,
} from "./gateway-stage.ts"

let stage: Stage
let server: FakeServer | undefined

const serve = async (handler: Parameters<typeof startServer>[0]): Promise<FakeServer> => {
  server = await startServer(handler)
  stage.placement.now = lifeAt(server.url)
  return server
}
const toolCall = message("tools/call", { name: "slow", arguments: {} })
const events = { "content-type": "text/event-stream" }
/** The answer to {@link toolCall}. */
const answerEvent = 'data: {"jsonrpc":"2.0","id":1,"result":{}}\n\n'

beforeEach(async () => {
  stage = await startStage()
})
afterEach(async () => {
  await stage.close()
  await server?.close()
  server = undefined
})

/** Reads the next piece of a body as text. */
const reader = (response: Response) => {
  const source = (response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream()).getReader()
  return { next: async () => (await source.read()).value, cancel: () => source.cancel() }
}

describe("an answer", () => {
  test("arrives head first, before there is any body, and then piece by piece", async () => {
    const [first, second] = [gate(), gate()]
    await serve(async (_, response) => {
      response.writeHead(200, events)
      response.flushHeaders()
      await first.promise
      response.write("data: 1\n\n")
      await second.promise
      response.end(answerEvent)
    })
    const response = await post(stage, toolCall)
    expect(response.headers.get("cache-control")).toBe("no-store")
    expect(response.headers.get("x-accel-buffering")).toBe("no")
    expect(stage.placement.calls).toBe(1)
    const body = reader(response)
    first.resolve()
    expect(await body.next()).toBe("data: 1\n\n")
    second.resolve()
    expect(await body.next()).toBe(answerEvent)
    expect(await body.next()).toBeUndefined()
    expect(stage.placement.calls).toBe(0)
  })

  test("of several megabytes is whole", async () => {
    const text = "0123456789abcdef".repeat(2 ** 18)
    await serve((seen, response) => answerJson(response, seen, { text }))
    expect(((await (await post(stage, toolCall)).json()) as { result: unknown }).result).toEqual({ text })
  })

  test("to a client that does not read is not pulled from the server beyond what the sockets hold", async () => {
    const chunk = "x".repeat(2 ** 16)
    let written = 0
    const stuck = gate()
    await serve((_, response) => {
      response.writeHead(200, events)
      const push = (): void => {
        while (written < 200 * 2 ** 20) {
          written += chunk.length
          if (!response.write(chunk)) {
            setTimeout(() => response.writableNeedDrain && stuck.resolve(), 300)
            return void response.once("drain", push)
          }
        }
        stuck.resolve()
      }
      push()
    })
    const leave = new AbortController()
    const answer = await post(stage, toolCall, { signal: leave.signal })
    await stuck.promise
    expect(written).toBeLessThan(64 * 2 ** 20)
    leave.abort()
    // in use until here: of an answer that is garbage, fetch drops the body
    expect(answer.status).toBe(200)
  })

  test("as JSON that the server breaks off is cut, not ended as if it were whole", async () => {
    await serve((_, response) => {
      response.writeHead(200, { "content-type": "application/json" })
      response.write('{"jsonrpc":')
      setTimeout(() => response.destroy(), 50)
    })
    const response = await post(stage, toolCall)
    await expect(response.text()).rejects.toThrow()
  })

  const breakOff = (sent: string) =>
    serve((_, response) => {
      response.writeHead(200, events)
      response.write(sent)
      setTimeout(() => response.destroy(), 50)
    })

  /** The messages that a client reads in a stream: events of other types are none. */
  const messagesIn = (text: string) =>
    text
      .split(/\n\n/)
      .filter((event) => event.includes("data: ") && !/^event: (?!message)/m.test(event))
      .map((event) => JSON.parse(event.split("data: ")[1] ?? ""))
  const interrupted = { id: toolCall.id, error: { data: { code: "UpstreamInterrupted", phase: "body" } } }

  test.each([
    ["between two events", "data: 1\n\n"],
    ["in the middle of an event", 'data: 1\n\ndata: {"jsonrpc":"2.0",'],
    ["in the middle of a field", "data: 1\n\nda"],
  ])("that nobody can resume is broken off with an error of the request's id, %s", async (_name, sent) => {
    await breakOff(sent)
    expect(messagesIn(await (await post(stage, toolCall)).text())).toMatchObject([1, interrupted])
  })

  describe("whose events have ids, in a session", () => {
    const open = async (): Promise<Record<string, string>> => {
      const opened = await post(stage, initialize)
      return { "mcp-session-id": opened.headers.get("mcp-session-id") ?? "" }
    }
    const breakingOff = async (): Promise<Record<string, string>> => {
      await serve((one, response) => {
        if (one.body.includes("initialize")) return answerJson(response, one, {}, { "mcp-session-id": "s" })
        response.writeHead(200, events).write("id: 1\ndata: 1\n\n")
        setTimeout(() => response.destroy(), 20)
      })
      return open()
    }
    test("is broken off with an error if its server is gone", async () => {
      const headers = await breakingOff()
      stage.placement.actual = undefined
      expect(messagesIn(await (await post(stage, toolCall, { headers })).text())[1]).toMatchObject(interrupted)
    })
    test("is broken off with an error once the server's node has told its end", async () => {
      const headers = await breakingOff()
      setTimeout(() => {
        stage.placement.actual = "pod-1.1"
      }, 500)
      expect(messagesIn(await (await post(stage, toolCall, { headers })).text())[1]).toMatchObject(interrupted)
    })
    test("is broken off with an error at once if nothing listens there any more", async () => {
      const headers = await breakingOff()
      const response = await post(stage, toolCall, { headers })
      await server?.close()
      expect(messagesIn(await response.text())[1]).toMatchObject(interrupted)
      expect(stage.placement.reads).toEqual([])
    })
    test("hears why the gateway ends it meanwhile", async () => {
      await stage.close()
      stage = await startStage({ clock: fakeClock() })
      const text = post(stage, toolCall, { headers: await breakingOff() }).then((response) => response.text())
      await expect.poll(() => stage.placement.reads.length).toBe(1)
      stage.removeTarget("demo")
      expect(messagesIn(await text)[1]).toMatchObject({ id: toolCall.id, error: { data: { code: "TargetNotFound" } } })
    })
    test("is looked after once for all that broke off at the same time", async () => {
      await stage.close()
      const clock = fakeClock()
      stage = await startStage({ clock })
      const headers = await breakingOff()
      const texts = Array.from({ length: 10 }, async () => (await post(stage, toolCall, { headers })).text())
      const ended = Promise.allSettled(texts)
      await expect.poll(() => stage.placement.reads.length).toBe(1)
      await expect.poll(() => server?.seen.filter(({ body }) => body.includes("tools/call")).length).toBe(10)
      for (let second = 0; second < 6; second++) {
        await clock.advance(1_000)
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
      expect(new Set((await ended).map(({ status }) => status))).toEqual(new Set(["rejected"]))
      expect(stage.placement.reads.length).toBeLessThanOrEqual(12)
    })
    test("is left to be resumed if its server still runs", async () => {
      await stage.close()
      const clock = fakeClock()
      stage = await startStage({ clock })
      const headers = await breakingOff()
      const text = (await post(stage, toolCall, { headers })).text()
      text.catch(() => {})
      await expect.poll(() => stage.placement.reads.length).toBe(1)
      for (let second = 0; second < 6; second++) {
        await clock.advance(1_000)
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
      await expect(text).rejects.toThrow()
    })
  })

  test("that is 202 without a body passes", async () => {
    await serve((_, response) => response.writeHead(202).end())
    const response = await post(stage, { jsonrpc: "2.0", method: "notifications/cancelled", params: {} })
    expect([response.status, await response.text()]).toEqual([202, ""])
  })
})

describe("a client that leaves", () => {
  test.each([
    ["POST", "before the head"],
    ["POST", "in the stream"],
    ["DELETE", "before the head"],
    ["GET", "before the head"],
    ["GET", "in the stream"],
  ] as const)("%s %s: the server sees it within a second", async (verb, when) => {
    const [arrived, closed] = [gate(), gate()]
    await serve((_, response) => {
      response.on("close", () => closed.resolve())
      if (when === "in the stream") response.writeHead(200, events).write(": hi\n\n")
      arrived.resolve()
    })
    const leave = new AbortController()
    const call = post(stage, toolCall, { verb, signal: leave.signal })
    call.catch(() => {})
    await arrived.promise
    if (when === "in the stream") await reader(await call).next()
    const left = performance.now()
    leave.abort()
    await closed.promise
    expect(performance.now() - left).toBeLessThan(1_000)
    await expect.poll(() => stage.lines.at(-1)?.fields).toMatchObject({ verb })
    expect(stage.lines.at(-1)?.fields).toMatchObject(
      when === "in the stream" ? { ending: "client gone" } : { status: 499 },
    )
    expect(stage.placement.calls).toBe(0)
  })
})

describe("a stream without a call", () => {
  const listen = modernRequest("subscriptions/listen", { notifications: { resourceSubscriptions: ["test://a"] } })

  test.each([
    ["a GET", undefined, { verb: "GET" }],
    ["a subscriptions/listen", listen.body, { headers: listen.headers }],
  ] as const)("%s is no call, but its bytes are told as use", async (_name, sent, how) => {
    const { seen } = await serve((_, response) => response.writeHead(200, events).write("data: 1\n\n"))
    const body = reader(await post(stage, sent, how))
    expect(await body.next()).toBe("data: 1\n\n")
    expect(seen).toHaveLength(1)
    expect(stage.placement.calls).toBe(0)
    expect(stage.placement.streamTouches).toBeGreaterThan(1)
    await body.cancel()
  })

  test("does not wait for connections: many are open at once beside calls", async () => {
    await serve((seen, response) => {
      if (seen.method === "GET") response.writeHead(200, events).write("data: 1\n\n")
      else answerJson(response, seen, {})
    })
    const streams = await Promise.all(Array.from({ length: 50 }, () => post(stage, undefined, { verb: "GET" })))
    const bodies = streams.map(reader)
    await Promise.all(bodies.map((body) => body.next()))
    expect((await post(stage, message("ping"))).status).toBe(200)
    await Promise.all(bodies.map((body) => body.cancel()))
  })
})

describe("silence", () => {
  test("of 15 s in an event stream is broken by a comment, but never inside an event", async () => {
    await stage.close()
    const clock = fakeClock()
    stage = await startStage({ clock, requestTimeoutMs: 600_000 })
    const rest = gate()
    await serve(async (_, response) => {
      response.writeHead(200, events).write("data: whole\n\n")
      await rest.promise
      response.write("data: ha")
    })
    const body = reader(await post(stage, toolCall))
    expect(await body.next()).toBe("data: whole\n\n")
    await clock.advance(15_000)
    expect(await body.next()).toBe(":\n\n")
    rest.resolve()
    expect(await body.next()).toBe("data: ha")
    await clock.advance(60_000)
    for (const socket of server?.sockets ?? []) socket.destroy()
    expect(await body.next()).toMatch(/^\nevent: cut\n\nevent: message\ndata: .*"UpstreamInterrupted"/)
  })
})

describe("a server that cannot be reached", () => {
  /** A port that nothing listens on. */
  const freePort = async (): Promise<number> => {
    const probe = createServer().listen(0, "127.0.0.1")
    await once(probe, "listening")
    const { port } = probe.address() as { port: number }
    probe.close()
    await once(probe, "close")
    return port
  }

  test("is reported and looked for anew, for tools/call too, because nothing was sent", async () => {
    const { url, seen } = await serve((one, response) => answerJson(response, one, { ok: true }))
    stage.placement.now = lifeAt(new URL(`http://127.0.0.1:${await freePort()}/mcp`))
    stage.placement.onUnreachable = () => {
      stage.placement.now = lifeAt(url, "pod-2.0")
    }
    expect(await (await post(stage, toolCall)).json()).toMatchObject({ result: { ok: true } })
    expect(seen).toHaveLength(1)
    expect(stage.placement.unreachable).toHaveLength(1)
  })

  test("counts the call as use of the instance that has it in the end", async () => {
    const inside: (string | undefined)[] = []
    const { url } = await serve((one, response) => {
      inside.push(...stage.placement.inUse.map(({ instance }) => instance))
      answerJson(response, one, {})
    })
    stage.placement.now = lifeAt(new URL(`http://127.0.0.1:${await freePort()}/mcp`))
    stage.placement.onUnreachable = () => {
      stage.placement.now = { ...lifeAt(url, "pod-2.0", "uid-2"), instance: "another" }
    }
    await (await post(stage, toolCall)).text()
    expect(inside).toEqual(["another"])
    await expect.poll(() => stage.placement.inUse).toEqual([])
  })

  test("after some attempts is a 502 with the request's id", async () => {
    stage.placement.now = lifeAt(new URL(`http://127.0.0.1:${await freePort()}/mcp`))
    const response = await post(stage, { ...toolCall, id: "seven" })
    expect(response.status).toBe(200)
    expect(await response.json()).toMatchObject({
      id: "seven",
      error: { data: { code: "UpstreamUnreachable", phase: "connect" } },
    })
  })

  test("ends a stateful session with 404 if it lives elsewhere by now", async () => {
    await serve((one, response) => answerJson(response, one, {}, { "mcp-session-id": "s" }))
    const session = (await post(stage, initialize)).headers.get("mcp-session-id") ?? ""
    stage.placement.now = lifeAt(new URL(`http://127.0.0.1:${await freePort()}/mcp`))
    stage.placement.actual = "pod-9.0"
    expect((await post(stage, toolCall, { headers: { "mcp-session-id": session } })).status).toBe(404)
  })

  /** A server that answers the first request on each connection and cuts the connection at the second. */
  const startFickle = async () => {
    const counts: string[] = []
    const listener = createServer((socket) => {
      let answered = false
      socket.on("error", () => {})
      socket.on("data", (data) => {
        const text = data.toString()
        counts.push(/"method":"([^"]+)"/.exec(text)?.[1] ?? "?")
        if (answered) return void socket.destroy()
        answered = true
        const body = '{"jsonrpc":"2.0","id":1,"result":{}}'
        socket.write(
          `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nKeep-Alive: timeout=60\r\n\r\n${body}`,
        )
      })
    })
    listener.listen(0, "127.0.0.1")
    await once(listener, "listening")
    const { port } = listener.address() as { port: number }
    stage.placement.now = lifeAt(new URL(`http://127.0.0.1:${port}/mcp`))
    return { counts, close: () => listener.close() }
  }

  test.each([
    ["tools/list", 200, 3],
    ["tools/call", 200, 2],
  ])("by a reused connection that dies without an answer: %s ends with %i", async (method, status, times) => {
    const fickle = await startFickle()
    expect((await post(stage, message("ping"))).status).toBe(200)
    const response = await post(stage, message(method, { name: "x" }))
    expect(response.status).toBe(status)
    expect(fickle.counts).toHaveLength(times)
    fickle.close()
  })

  test("in time is told so, by the target's own limit", async () => {
    stage.addTarget("quick", { requestTimeout: "1s" })
    await serve(() => {})
    const response = await post(stage, toolCall, { target: "quick" })
    expect(response.status).toBe(200)
    expect(await response.json()).toMatchObject({ error: { data: { code: "UpstreamTimeout" } } })
  })

  test("as HTTP is a 502 that says so", async () => {
    const listener = createServer((socket) => void socket.on("data", () => socket.end("SSH-2.0-x\r\n\r\n")))
    listener.listen(0, "127.0.0.1")
    await once(listener, "listening")
    const { port } = listener.address() as { port: number }
    stage.placement.now = lifeAt(new URL(`http://127.0.0.1:${port}/mcp`))
    const response = await post(stage, toolCall)
    expect(response.status).toBe(200)
    expect(await response.json()).toMatchObject({ error: { data: { code: "UpstreamInvalid" } } })
    listener.close()
  })
})

describe("connections to servers", () => {
  test("are reused within an incarnation of the server and closed when the next one begins", async () => {
    const { url, sockets } = await serve((one, response) => answerJson(response, one, {}))
    for (let count = 0; count < 5; count++) await (await post(stage, message("ping"))).text()
    expect(sockets.size).toBe(1)
    const [old] = sockets
    stage.placement.now = lifeAt(url, "pod-2.0")
    await (await post(stage, message("ping"))).text()
    await expect.poll(() => old?.destroyed).toBe(true)
    expect(sockets.size).toBe(1)
  })
})

describe("a target with a tool policy", () => {
  const tools = [{ name: "read_file" }, { name: "write_file" }, { name: "read_secret" }]
  beforeEach(() => stage.addTarget("narrow", { tools: { allow: ["read_*"], deny: ["*_secret"] } }))

  test("lists only allowed tools, in JSON and in events, and drops the length", async () => {
    const answer = { jsonrpc: "2.0", id: 1, result: { tools, cacheScope: "public" } }
    const note = 'data: {"jsonrpc":"2.0","method":"notifications/message","params":{"big":12345678901234567890}}\n\n'
    await serve((seen, response) => {
      if (seen.headers["last-event-id"] === undefined) return answerJson(response, seen, answer.result)
      response.writeHead(200, events)
      response.end(`id: 1\ndata:\n\n${note}event: message\r\nid: 2\r\ndata: ${JSON.stringify(answer)}\r\n\r\n`)
    })
    const json = await post(stage, message("tools/list"), { target: "narrow" })
    expect(await json.json()).toEqual({
      jsonrpc: "2.0",
      id: 1,
      result: { tools: [{ name: "read_file" }], cacheScope: "private" },
    })
    for (const verb of ["POST", "GET"] as const) {
      const response = await post(stage, message("tools/list"), {
        target: "narrow",
        verb,
        headers: { "last-event-id": "0" },
      })
      const text = await response.text()
      expect(text).toContain(note)
      expect(text).toContain(
        'id: 2\ndata: {"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"read_file"}],"cacheScope":"private"}}\n\n',
      )
      expect(text).not.toMatch(/write_file|read_secret/)
    }
  })

  test.each(["write_file", "read_secret", "nothing"])("does not let %s be called", async (name) => {
    const { seen } = await serve((one, response) => answerJson(response, one, {}))
    const response = await post(stage, message("tools/call", { name }, 5), { target: "narrow" })
    expect(response.status).toBe(200)
    expect(await response.json()).toMatchObject({
      id: 5,
      error: { code: -32602, message: expect.stringContaining(`Unknown tool: ${name}.`) },
    })
    const { body, headers } = modernCall(name)
    expect((await post(stage, body, { target: "narrow", headers })).status).toBe(200)
    const batch = [message("ping"), message("tools/call", { name }, 2)]
    expect(await (await post(stage, batch, { target: "narrow" })).text()).toContain("Unknown tool")
    expect(seen).toEqual([])
  })

  test.each(["application/json", "text/event-stream"])("answers 502 for a %s that it cannot read", async (type) => {
    await serve((_, response) => response.writeHead(200, { "content-type": type }).end("data: {tools}\n\n"))
    const response = await post(stage, message("tools/list"), { target: "narrow" })
    expect(response.status).toBe(200)
    expect(await response.json()).toMatchObject({ id: 1, error: { data: { code: "UpstreamInvalid" } } })
  })

  test.each([
    ["tools/call", "UpstreamInterrupted"],
    ["tools/list", "UpstreamUnreachable"],
  ])("says to %s whose JSON the server breaks off what happened, since nothing of it is out", async (method, code) => {
    await serve((_, response) => {
      response.writeHead(200, { "content-type": "application/json" }).write('{"jsonrpc":')
      setTimeout(() => response.destroy(), 50)
    })
    const response = await post(stage, message(method, { name: "read_file" }), { target: "narrow" })
    expect(await response.json()).toMatchObject({ id: 1, error: { data: { code, phase: "body" } } })
  })

  test("says why it ends a call whose JSON has begun and of which nothing is out", async () => {
    const begun = gate()
    await serve((_, response) => {
      response.writeHead(200, { "content-type": "application/json" }).write('{"jsonrpc":')
      setTimeout(begun.resolve, 50)
    })
    const call = post(stage, message("tools/list"), { target: "narrow" })
    await begun.promise
    await stage.gateway.drain(AbortSignal.abort())
    expect(await (await call).json()).toMatchObject({ id: 1, error: { data: { code: "ShuttingDown" } } })
  })

  test("ends a stream in which it meets what it cannot read, and says so to the request's id", async () => {
    const seenFirst = gate()
    await serve(async (_, response) => {
      response.writeHead(200, events).write("data: {}\n\n")
      await seenFirst.promise
      response.write("data: {tools}\n\n")
    })
    const body = reader(await post(stage, message("tools/list"), { target: "narrow" }))
    expect(await body.next()).toBe("data: {}\n\n")
    seenFirst.resolve()
    expect(await body.next()).toMatch(/^event: message\ndata: \{"jsonrpc":"2.0","id":1,"error":.*"UpstreamInvalid"/)
    expect(stage.lines.some(({ level }) => level === "warn")).toBe(true)
    expect(stage.lines.at(-1)?.fields).toMatchObject({ ending: "unreadable" })
  })
})

describe("draining", () => {
  test("ends streams without a call, also new ones, and lets calls finish, also new ones", async () => {
    const [finish, arrived] = [gate(), gate()]
    await serve(async (seen, response) => {
      if (seen.method === "GET" || seen.body.includes("listen"))
        return void response.writeHead(200, events).write("data: 1\n\n")
      if (seen.body.includes("ping")) return answerJson(response, seen, { here: true })
      arrived.resolve()
      await finish.promise
      answerJson(response, seen, { done: true })
    })
    const stream = await post(stage, undefined, { verb: "GET" })
    const call = post(stage, toolCall)
    await arrived.promise
    const drained = stage.gateway.drain(AbortSignal.timeout(10_000))
    expect(await stream.text()).toBe("data: 1\n\n")
    // on connections that are left: whoever has one could not know that it leads to a replica that ends
    for (const again of [post(stage, undefined, { verb: "GET" }), post(stage, message("subscriptions/listen"))]) {
      const ended = await again
      expect([ended.status, ended.headers.get("connection"), await ended.text()]).toEqual([200, "close", ""])
    }
    expect(await (await post(stage, message("ping"))).json()).toMatchObject({ result: { here: true } })
    finish.resolve()
    expect(await (await call).json()).toMatchObject({ result: { done: true } })
    await drained
  })

  test("waits for the head of a stream that was asked for before, and ends it in order", async () => {
    const [answer, arrived] = [gate(), gate()]
    await serve(async (_, response) => {
      arrived.resolve()
      await answer.promise
      response.writeHead(200, events).write("data: 1\n\n")
    })
    const stream = post(stage, undefined, { verb: "GET" })
    await arrived.promise
    const drained = stage.gateway.drain(AbortSignal.timeout(10_000))
    answer.resolve()
    const { status, headers } = await stream
    expect([status, headers.get("content-type")]).toEqual([200, "text/event-stream"])
    await drained
  })

  test("waits no longer than ten seconds for a stream whose head does not come", async () => {
    await stage.close()
    const clock = fakeClock()
    stage = await startStage({ clock, requestTimeoutMs: 60_000 })
    const arrived = gate()
    await serve(() => arrived.resolve())
    const stream = post(stage, undefined, { verb: "GET" })
    await arrived.promise
    const drained = stage.gateway.drain(new AbortController().signal)
    await clock.advance(9_999)
    expect(stage.lines.filter(({ fields }) => fields?.code === "ShuttingDown")).toEqual([])
    await clock.advance(1)
    expect((await stream).status).toBe(503)
    await drained
  })

  test("finds no stream on a connection that anything else could be sent on", async () => {
    await serve((seen, response) => {
      if (seen.method === "GET") return void response.writeHead(200, events).end("data: 1\n\n")
      answerJson(response, seen, {})
    })
    const connections: (string | null)[] = []
    for (const asked of [post(stage, undefined, { verb: "GET" }), post(stage, message("ping"))]) {
      const response = await asked
      connections.push(response.headers.get("connection"))
      await response.text()
    }
    expect(connections).toEqual(["close", "keep-alive"])
  })

  test("ends what is left at the deadline with an error that says why", async () => {
    const arrived = gate()
    await serve(() => arrived.resolve())
    const call = post(stage, toolCall)
    await arrived.promise
    const deadline = new AbortController()
    const drained = stage.gateway.drain(deadline.signal)
    deadline.abort()
    await drained
    expect(await (await call).json()).toMatchObject({ id: 1, error: { data: { code: "ShuttingDown" } } })
    expect((await post(stage, message("ping"))).status).toBe(503)
  })

  test("does not wait beyond the deadline for a body that does not come", async () => {
    await serve((seen, response) => answerJson(response, seen, {}))
    const socket = connectTo(stage.port, "127.0.0.1")
    const head = "POST /mcp/demo HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer token-of-alice\r\n"
    socket.write(`${head}content-type: application/json\r\ncontent-length: 100\r\nexpect: 100-continue\r\n\r\n`)
    // its answer to Expect says that the request is being read
    await once(socket, "data")
    const answered = once(socket, "data")
    await stage.gateway.drain(AbortSignal.abort())
    expect(String((await answered)[0])).toContain("ShuttingDown")
    socket.destroy()
  })
})

test("a client that closes only its sending side, as nc does, still counts as gone when it closes the rest", async () => {
  const closed = gate()
  await serve((_, response) => {
    response.on("close", () => closed.resolve())
    response.writeHead(200, events).write("data: 1\n\n")
  })
  const socket = connectTo(stage.port, "127.0.0.1", () =>
    socket.write(
      "GET /mcp/demo HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer token-of-alice\r\nAccept: text/event-stream\r\n\r\n",
    ),
  )
  await once(socket, "data")
  socket.destroy()
  await closed.promise
})
