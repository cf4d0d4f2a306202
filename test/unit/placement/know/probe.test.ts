import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { createServer as createHTTP, type Server } from "node:http"
import { type AddressInfo, createServer as createTCP, type Server as TCPServer } from "node:net"
import { afterEach, describe, expect, test } from "vitest"
import { probe } from "../../../../src/placement/know/probe.ts"

const open: (Server | TCPServer)[] = []
afterEach(async () => {
  for (const server of open.splice(0)) {
    if ("closeAllConnections" in server) server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
})

const listen = async (server: Server | TCPServer): Promise<URL> => {
  open.push(server)
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`)
}
const signal = new AbortController().signal

const stopped: ChildProcess[] = []
afterEach(() => {
  for (const child of stopped.splice(0)) child.kill("SIGKILL")
})

const listening =
  "require('net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, function () { console.log(this.address().port) })"

/** A port whose process is stopped, and whose queue of connections is full: the kernel drops what comes. */
const listenStopped = async (): Promise<URL> => {
  const child = spawn(process.execPath, ["-e", listening], { stdio: ["ignore", "pipe", "inherit"] })
  stopped.push(child)
  const [port] = await once(child.stdout, "data")
  child.kill("SIGSTOP")
  const url = new URL(`http://127.0.0.1:${Number(port)}/mcp`)
  for (let tries = 0; tries < 10 && (await probe(url, undefined, signal)) === "answered"; tries++);
  return url
}

describe("a probe", () => {
  test("without a health path succeeds as soon as the port is open, and sends nothing", async () => {
    let received = 0
    const url = await listen(createTCP((socket) => socket.on("data", () => received++).on("error", () => {})))
    expect(await probe(url, undefined, signal)).toBe("answered")
    expect(received).toBe(0)
  })

  test("of a closed port is refused", async () => {
    const server = createTCP()
    const url = await listen(server)
    await new Promise((resolve) => server.close(resolve))
    open.splice(0)
    expect(await probe(url, undefined, signal)).toBe("refused")
    expect(await probe(url, { path: "/healthz", hostHeader: undefined }, signal)).toBe("refused")
  })

  test.each([
    [200, "answered"],
    [302, "answered"],
    [404, "failed"],
    [503, "failed"],
  ])("on a health path that answers %s is %s, and never asks the MCP path", async (status, expected) => {
    const paths: string[] = []
    const url = await listen(
      createHTTP((request, response) => {
        paths.push(`${request.method} ${request.url}`)
        response.writeHead(status).end()
      }),
    )
    expect(await probe(url, { path: "/healthz", hostHeader: undefined }, signal)).toBe(expected)
    expect(paths).toEqual(["GET /healthz"])
  })

  test("on a health path of any letters asks for its encoded form", async () => {
    const paths: (string | undefined)[] = []
    const url = await listen(
      createHTTP((request, response) => {
        paths.push(request.url)
        response.writeHead(200).end()
      }),
    )
    expect(await probe(url, { path: "/zdrav\u00ed/\u0101", hostHeader: undefined }, signal)).toBe("answered")
    expect(paths).toEqual(["/zdrav%C3%AD/%C4%81"])
  })

  test("on a health path says the Host that the server expects", async () => {
    const hosts: (string | undefined)[] = []
    const url = await listen(
      createHTTP((request, response) => {
        hosts.push(request.headers.host)
        response.writeHead(200).end()
      }),
    )
    expect(await probe(url, { path: "/", hostHeader: "localhost:8080" }, signal)).toBe("answered")
    expect(hosts).toEqual(["localhost:8080"])
  })

  test("of a server that accepts and says nothing fails in time, which is no refusal", async () => {
    const url = await listen(createTCP((socket) => socket.resume().on("error", () => {})))
    expect(await probe(url, { path: "/healthz", hostHeader: undefined }, signal)).toBe("failed")
  })

  test.each([
    ["without a health path", undefined],
    ["on a health path", { path: "/healthz", hostHeader: undefined }],
  ])(
    "%s gives up a connection that nobody accepts in the time for connections, before the time for all",
    async (_how, health) => {
      const url = await listenStopped()
      const ends: string[] = []
      const ended = (which: string) => (probed: string) => void ends.push(`${which} ${probed}`)
      await Promise.all([
        probe(url, health, signal).then(ended("long")),
        probe(url, health, signal, 20).then(ended("short")),
      ])
      expect(ends).toEqual(["short failed", "long failed"])
    },
  )

  test("that is no longer wanted fails at once", async () => {
    const url = await listen(createTCP((socket) => socket.resume().on("error", () => {})))
    expect(await probe(url, undefined, AbortSignal.abort())).toBe("failed")
  })
})
