import { once } from "node:events"
import { createServer as createPlainServer, type RequestListener } from "node:http"
import { createServer } from "node:https"
import { type AddressInfo, createServer as createTCPServer, type Server, type Socket } from "node:net"
import { afterEach, describe, expect, it } from "vitest"
import { createOutgoingGuard, type OutgoingGuard } from "../../src/outgoing/guard.ts"
import { createRemoteProbe } from "../../src/outgoing/probe.ts"
import type { ProbeResult } from "../../src/ports/remote-probe.ts"
import { type Certified, makeCA } from "../support/certificates.ts"

const ca = makeCA()
const certificate = ca.issue(["127.0.0.1", "mcp.example.com"])
const limits = { connectMs: 400, headMs: 400 }
const ends: (() => void)[] = []
afterEach(() => {
  for (const end of ends.splice(0)) end()
})

/** Opens loopback, as --role dev does, and answers names as a test says. */
const guardOf = (names: Readonly<Record<string, string>> = {}, allowHttp = true): OutgoingGuard =>
  createOutgoingGuard({
    options: { allow_http: allowHttp, allow_networks: ["127.0.0.0/8"], allow_hosts: [] },
    closed: () => [],
    resolve: async (host) => {
      const address = names[host]
      if (address === undefined) throw Object.assign(new Error("no such name"), { code: "ENOTFOUND" })
      return [{ address, family: 4 }]
    },
  })

const listen = async (server: Server): Promise<number> => {
  const sockets = new Set<Socket>()
  server.on("connection", (socket) => sockets.add(socket))
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  ends.push(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return (server.address() as AddressInfo).port
}

const tlsServer = async (answer: RequestListener, by: Certified = certificate): Promise<string> =>
  `https://127.0.0.1:${await listen(createServer(by, answer))}/mcp`

const status =
  (code: number, headers: Readonly<Record<string, string>> = {}): RequestListener =>
  (_request, response) =>
    response.writeHead(code, headers).end("x".repeat(1_000_000))

type Ask = { readonly hasOwnCA?: boolean; readonly guard?: OutgoingGuard; readonly signal?: AbortSignal }

const probe = (url: string, { hasOwnCA = true, guard = guardOf(), signal }: Ask = {}): Promise<ProbeResult> =>
  createRemoteProbe(guard, limits)({ url, hasOwnCA }, signal ?? new AbortController().signal)

describe("a server that answers", () => {
  it.each([200, 401, 405, 503])("%d is reached, by one GET without credentials", async (code) => {
    const heads: string[] = []
    const url = await tlsServer((request, response) => {
      heads.push(`${request.method} ${request.url} ${Object.keys(request.headers).toSorted().join()}`)
      status(code)(request, response)
    })
    expect(await probe(url)).toEqual({ kind: "answered", status: code })
    expect(heads).toEqual(["GET /mcp accept,connection,host,user-agent"])
  })

  it("with a stream that never ends is reached, and left", async () => {
    const closed = Promise.withResolvers<void>()
    const url = await tlsServer((request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" }).write(": \n\n")
      request.on("close", () => closed.resolve())
    })
    expect(await probe(url)).toEqual({ kind: "answered", status: 200 })
    await closed.promise
  })

  it("without TLS is reached where http is allowed", async () => {
    const url = `http://127.0.0.1:${await listen(createPlainServer(status(401)))}/`
    expect(await probe(url)).toEqual({ kind: "answered", status: 401 })
    expect(await probe(url, { guard: guardOf({}, false) })).toMatchObject({ kind: "closed" })
  })

  it("is reached by the address that the guard has checked, and asked by its name", async () => {
    const names: unknown[] = []
    const port = new URL(
      await tlsServer((request, response) => {
        names.push(request.headers.host)
        status(200)(request, response)
      }),
    ).port
    const guard = guardOf({ "mcp.example.com": "127.0.0.1" })
    expect(await probe(`https://mcp.example.com:${port}/`, { guard })).toEqual({ kind: "answered", status: 200 })
    expect(names).toEqual([`mcp.example.com:${port}`])
  })

  it.each<[string, string | undefined]>([
    ["https://other.example.com/mcp?token=secret", "https://other.example.com"],
    ["//other.example.com:8443/a", "https://other.example.com:8443"],
    ["http://user:password@other.example.com/", "http://other.example.com"],
    ["ftp://other.example.com/", undefined],
    ["http://", undefined],
  ])("with a redirect to %s tells its origin, and nothing follows", async (location, origin) => {
    const url = await tlsServer(status(302, { location }))
    expect(await probe(url)).toEqual({ kind: "redirected", status: 302, origin })
  })
})

describe("a certificate", () => {
  it("of an unknown authority is refused, unless gateways know the authority", async () => {
    const url = await tlsServer(status(200))
    expect(await probe(url, { hasOwnCA: false })).toEqual({ kind: "certificate", fault: "UnknownAuthority" })
    expect(await probe(url, { hasOwnCA: true })).toEqual({ kind: "answered", status: 200 })
  })

  it("of another name, or that has expired, is refused although nobody verifies its authority", async () => {
    const [other, late] = [ca.issue(["other.example.com"]), ca.issue(["127.0.0.1"], -1)]
    const requests: string[] = []
    const note: RequestListener = ({ url = "" }, response) => {
      requests.push(url)
      response.end()
    }
    expect(await probe(await tlsServer(note, other))).toEqual({ kind: "certificate", fault: "OtherName" })
    expect(await probe(await tlsServer(note, late))).toEqual({ kind: "certificate", fault: "Expired" })
    expect(requests).toEqual([])
  })
})

describe("nothing is dialled", () => {
  it.each([
    "https://10.0.0.1/mcp",
    "https://[::ffff:10.0.0.1]/",
    "https://169.254.169.254/latest",
    "https://127.0.0.1:0/",
    "https://inside.example.com/",
    "no URL",
    "https://[",
  ])("for %s", async (url) => {
    const found = await probe(url, { guard: guardOf({ "inside.example.com": "10.1.2.3" }) })
    expect(found).toMatchObject({ kind: "closed", detail: expect.not.stringContaining("10.1.2.3") })
  })

  it("for a name that DNS does not know", async () => {
    expect(await probe("https://gone.example.com/")).toEqual({ kind: "unreachable", cause: "NameUnknown" })
  })
})

describe("a server that does not answer", () => {
  it("because nothing listens", async () => {
    const port = await listen(createTCPServer())
    for (const end of ends.splice(0)) end()
    const url = `https://127.0.0.1:${port}/`
    expect(await probe(url)).toEqual({ kind: "unreachable", cause: "ConnectionRefused" })
  })

  it.each<[string, (socket: Socket) => void, string, string]>([
    ["in TLS", () => {}, "https", "ConnectTimeout"],
    ["with a head", () => {}, "http", "AnswerTimeout"],
    ["with TLS but with something else", (socket) => socket.end("SSH-2.0-x\r\n".repeat(9)), "https", "NoTLS"],
    ["with HTTP but with something else", (socket) => socket.end("SSH-2.0-x\r\n".repeat(9)), "http", "NoHTTP"],
    ["but leaves", (socket) => void socket.once("data", () => socket.resetAndDestroy()), "http", "ConnectionLost"],
  ])("%s", async (_, serve, scheme, cause) => {
    const port = await listen(createTCPServer(serve))
    expect(await probe(`${scheme}://127.0.0.1:${port}/`)).toEqual({ kind: "unreachable", cause })
  })

  it("with an end of its head, drop by drop, is left in time", async () => {
    const drip = (socket: Socket): void => {
      socket.write("HTTP/1.1 200 OK\r\n")
      const timer = setInterval(() => socket.write("X-A: b\r\n"), 20)
      socket.on("close", () => clearInterval(timer)).on("error", () => {})
    }
    const url = `http://127.0.0.1:${await listen(createTCPServer(drip))}/`
    expect(await probe(url)).toEqual({ kind: "unreachable", cause: "AnswerTimeout" })
  })
})

describe("an end of the operator", () => {
  it("ends the connection and rejects at once", async () => {
    const connected = Promise.withResolvers<Socket>()
    const port = await listen(createTCPServer((socket) => connected.resolve(socket)))
    const ending = new AbortController()
    const probing = probe(`https://127.0.0.1:${port}/`, { signal: ending.signal })
    const socket = (await connected.promise).on("error", () => {})
    const closed = once(socket.resume(), "close")
    ending.abort(new Error("the end"))
    await expect(probing).rejects.toThrow("the end")
    await closed
  })

  it("rejects at once while DNS does not answer", async () => {
    const guard = createOutgoingGuard({
      options: { allow_http: false, allow_networks: [], allow_hosts: [] },
      closed: () => [],
      resolve: () => new Promise(() => {}),
      resolveMs: 200,
    })
    const ending = new AbortController()
    const probing = probe("https://mcp.example.com/", { guard, signal: ending.signal })
    ending.abort(new Error("the end"))
    await expect(probing).rejects.toThrow("the end")
  })
})
