import { subscribe, unsubscribe } from "node:diagnostics_channel"
import { createServer, type Server } from "node:http"
import { connect } from "node:net"
import { afterEach, expect, test } from "vitest"
import { isAppError } from "../../../src/errors.ts"
import { type HttpListener, isLoopback, parseListen, startHttpListener } from "../../../src/roles/http-listener.ts"

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
  listener.stopAccepting()
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

test("it bounds how long a request may take to arrive, and never how long an answer takes", async () => {
  let server: Server | undefined
  const onRequest = (started: unknown): void => {
    server = (started as { server: Server }).server
  }
  listener = await startHttpListener("127.0.0.1:0", (_request, response) => response.end())
  subscribe("http.server.request.start", onRequest)
  await fetch(listener.url)
  unsubscribe("http.server.request.start", onRequest)
  const { timeout, headersTimeout, requestTimeout, keepAliveTimeout } = server ?? {}
  expect({ timeout, headersTimeout, requestTimeout, keepAliveTimeout }).toEqual({
    timeout: 0,
    headersTimeout: 30_000,
    requestTimeout: 120_000,
    keepAliveTimeout: 75_000,
  })
})
