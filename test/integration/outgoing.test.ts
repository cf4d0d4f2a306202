/** Guarded connections over real sockets, with names of a real name server that changes its mind. */
import { once } from "node:events"
import { createServer as createPlainServer, type RequestListener } from "node:http"
import { createServer as createTLSServer } from "node:https"
import { type AddressInfo, createServer as createSocketServer, type Server } from "node:net"
import { Pool } from "undici"
import { afterEach, describe, expect, test } from "vitest"
import { isAppError } from "../../src/errors.ts"
import { fetchDocument } from "../../src/identity/issuer-document.ts"
import { type GuardedConnectorOptions, guardedConnector } from "../../src/outgoing/connect.ts"
import { createGuardedFetch, trustsIssuers } from "../../src/outgoing/fetch.ts"
import { createOutgoingGuard, type OutgoingGuard, type OutgoingGuardDeps } from "../../src/outgoing/guard.ts"
import { makeCA } from "../support/certificates.ts"
import { startNameServer, type Zone } from "../support/name-server.ts"

const ca = makeCA()
const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

/** A server on a loopback address, and how many connections have reached it. */
const listening = async (server: Server, host = "127.0.0.1") => {
  const reached = { connections: 0 }
  const sockets = new Set<{ destroy(): unknown }>()
  server.on("connection", (socket) => {
    reached.connections++
    sockets.add(socket)
  })
  server.listen(0, host)
  await once(server, "listening")
  closers.push(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, reached }
}
const hello: RequestListener = (_request, response) => void response.end("hello")
const plain = (handler = hello, host?: string) => listening(createPlainServer(handler), host)
const secure = (hosts: readonly string[], handler = hello) => listening(createTLSServer(ca.issue(hosts), handler))

/** 127.0.0.1 is open in place of a public address, all other loopback addresses are closed. */
const opened = { allow_http: true, allow_networks: ["127.0.0.1"], allow_hosts: [] }

/** A guard that asks a name server of its own. */
const guardOf = async (zone: Zone, more: Partial<OutgoingGuardDeps> = {}) => {
  const names = await startNameServer(zone)
  closers.push(names.close)
  const guard = createOutgoingGuard({ options: opened, closed: () => [], resolve: names.resolve, ...more })
  return { guard, asked: names.asked }
}

type Sent = { readonly guard: OutgoingGuard } & GuardedConnectorOptions
/** What a request through a pool brings: its status and body, or its error as the request got it. */
const get = async (url: string, { guard, ...options }: Sent, headers: Record<string, string> = {}) => {
  const { origin, pathname } = new URL(url)
  const pool = new Pool(origin, { connect: guardedConnector(guard, options) })
  try {
    const { statusCode, body } = await pool.request({ path: pathname, method: "GET", headers })
    return `${statusCode} ${await body.text()}`
  } catch (error) {
    return error
  } finally {
    await pool.destroy()
  }
}
const refusal = (detail: string) =>
  expect.objectContaining({ name: "AppError", code: "AddressNotAllowed", message: detail })

describe("a name", () => {
  test("that is asked for again and then has a closed address reaches nobody there", async () => {
    const { port, reached } = await plain(hello, "127.0.0.2")
    const open = await plain()
    const { guard, asked } = await guardOf((_name, question) => [question === 0 ? "127.0.0.1" : "127.0.0.2"])
    guard.checkUrl(new URL(`http://mcp.example:${open.port}/`))
    expect(await get(`http://mcp.example:${open.port}/`, { guard })).toBe("200 hello")
    expect(asked).toHaveLength(1)
    const second = await get(`http://mcp.example:${port}/`, { guard })
    expect(second).toEqual(refusal("mcp.example resolves to an address that is a loopback address."))
    expect(isAppError(second)).toBe(true)
    expect(reached.connections).toBe(0)
  })
  test("is asked for once in each connection: what was checked is what is dialled", async () => {
    const closed = await plain(hello, "127.0.0.2")
    // the second answer, which nobody asks for, would lead to the closed server
    const { guard, asked } = await guardOf((_name, question) => [question === 0 ? "127.0.0.1" : "127.0.0.2"])
    const failed = (await get(`http://mcp.example:${closed.port}/`, { guard })) as NodeJS.ErrnoException
    expect(failed.code).toBe("ECONNREFUSED")
    expect([asked.length, closed.reached.connections]).toEqual([1, 0])
  })
  test("with an open and a closed address reaches neither", async () => {
    const { port, reached } = await plain()
    for (const answer of [
      ["127.0.0.1", "127.0.0.2"],
      ["127.0.0.1", "10.0.0.7"],
      ["127.0.0.1", "::1"],
      ["::ffff:127.0.0.2", "127.0.0.1"],
    ]) {
      const { guard } = await guardOf(() => answer)
      expect(await get(`http://mcp.example:${port}/`, { guard }), String(answer)).toEqual(
        expect.objectContaining({ code: "AddressNotAllowed" }),
      )
    }
    expect(reached.connections).toBe(0)
  })
  test("whose first address does not answer is dialled at the next one", async () => {
    const { port } = await plain()
    const { guard } = await guardOf(() => ["127.0.0.9", "127.0.0.1"], {
      options: { ...opened, allow_networks: ["127.0.0.0/8"] },
    })
    expect(await get(`http://mcp.example:${port}/`, { guard })).toBe("200 hello")
  })
  test("without an address is unreachable, and says so", async () => {
    const { guard } = await guardOf(() => [])
    expect(await get("http://mcp.example/", { guard })).toMatchObject({
      code: "UpstreamUnreachable",
      message: "The name mcp.example cannot be resolved.",
    })
  })
  test("that no name server answers for is given up", async () => {
    const { guard } = await guardOf(() => undefined)
    const begun = performance.now()
    expect(await get("http://mcp.example/", { guard, connectMs: 200 })).toMatchObject({
      code: "UND_ERR_CONNECT_TIMEOUT",
    })
    expect(performance.now() - begun).toBeLessThan(900)
  })
})

test("an address in a URL is checked before it is dialled, in every spelling", async () => {
  const { port, reached } = await plain()
  const { guard } = await guardOf(() => [], { options: { ...opened, allow_networks: [] } })
  for (const host of [
    "127.0.0.1",
    "127.1",
    "0x7f000001",
    "2130706433",
    "0177.0.0.1",
    "127.0.0.1.",
    "[::ffff:127.0.0.1]",
    "①②⑦.0.0.1",
    "0.0.0.0",
  ])
    expect(await get(`http://${host}:${port}/`, { guard }), host).toMatchObject({ code: "AddressNotAllowed" })
  expect(reached.connections).toBe(0)
})

test("localhost is checked by its addresses, as this machine resolves it", async () => {
  const { port, reached } = await plain()
  const guard = createOutgoingGuard({ options: { ...opened, allow_networks: [] }, closed: () => [] })
  for (const host of ["localhost", "localhost.", "LOCALHOST"])
    expect(await get(`http://${host}:${port}/`, { guard }), host).toMatchObject({ code: "AddressNotAllowed" })
  expect(reached.connections).toBe(0)
})

test("a port of our own stays closed although its address is allowed", async () => {
  const { port, reached } = await plain()
  const { guard } = await guardOf(() => ["127.0.0.1"], { closed: () => [{ host: "0.0.0.0", port }] })
  for (const host of ["mcp.example", "127.0.0.1"])
    expect(await get(`http://${host}:${port}/`, { guard }), host).toMatchObject({ data: { reason: "own" } })
  expect(reached.connections).toBe(0)
})

describe("TLS", () => {
  test("verifies the name of the URL, not the address and not the Host header", async () => {
    const { port } = await secure(["mcp.example"])
    const { guard } = await guardOf(() => ["127.0.0.1"])
    expect(await get(`https://mcp.example:${port}/`, { guard, ca: ca.cert })).toBe("200 hello")
    const other = (await get(
      `https://other.example:${port}/`,
      { guard, ca: ca.cert },
      { host: "mcp.example" },
    )) as Error
    expect(other).toMatchObject({ code: "ERR_TLS_CERT_ALTNAME_INVALID" })
    expect(other.message).toContain("other.example")
  })
  test("verifies an address", async () => {
    const { port } = await secure(["127.0.0.1"])
    const { guard } = await guardOf(() => [])
    expect(await get(`https://127.0.0.1:${port}/`, { guard, ca: ca.cert })).toBe("200 hello")
    const other = await secure(["mcp.example"])
    expect(await get(`https://127.0.0.1:${other.port}/`, { guard, ca: ca.cert })).toMatchObject({
      code: "ERR_TLS_CERT_ALTNAME_INVALID",
    })
  })
  test("of a CA that nobody trusts fails", async () => {
    const { port } = await secure(["mcp.example"])
    const { guard } = await guardOf(() => ["127.0.0.1"])
    for (const trust of [{}, { ca: makeCA().cert }])
      expect(((await get(`https://mcp.example:${port}/`, { guard, ...trust })) as { code: string }).code).toMatch(
        /UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT_LOCALLY|CERT_SIGNATURE_FAILURE/,
      )
  })
  test.each(["mcp.example", "127.0.0.1"])("that does not answer is given up in time, at %s", async (host) => {
    const server = createSocketServer()
    const { port, reached } = await listening(server)
    const ended = once(server, "connection").then(([socket]) => once(socket.resume(), "close"))
    const { guard } = await guardOf(() => ["127.0.0.1"])
    const begun = performance.now()
    expect(await get(`https://${host}:${port}/`, { guard, connectMs: 300 })).toMatchObject({
      code: "UND_ERR_CONNECT_TIMEOUT",
      message: `No connection to ${host}:${port} within 300 ms.`,
    })
    expect(performance.now() - begun).toBeLessThan(1_000)
    expect(reached.connections).toBe(1)
    await ended
  })
})

describe("documents of issuers", () => {
  const document: RequestListener = ({ url }, response) => {
    if (url === "/moved") response.writeHead(302, { location: "/keys" })
    response.end('{"keys":[]}')
  }
  const { signal } = new AbortController()
  const causeOf = (error: unknown): string => String(((error as Error).cause as Error | undefined)?.message)
  const fetched = (fetch: Parameters<typeof fetchDocument>[0], url: string) =>
    fetchDocument(fetch, url, signal).catch(causeOf)

  test("come freely from hosts that the configuration names, and guarded from others", async () => {
    const own = await plain(document)
    const other = await plain(document)
    const closed = { ...opened, allow_networks: [] }
    const { guard } = await guardOf(() => ["127.0.0.1"], { options: closed })
    const fetch = createGuardedFetch(
      guard,
      trustsIssuers([{ issuer: `http://127.0.0.1:${own.port}/realm`, jwks_url: "" }]),
    )
    expect(await fetched(fetch, `http://127.0.0.1:${own.port}/keys`)).toEqual({ keys: [] })
    for (const host of [`127.0.0.1:${other.port}`, `keys.example:${other.port}`])
      expect(await fetched(fetch, `http://${host}/keys`)).toMatch(
        /a loopback address\. The issuer's metadata names this host: set jwks_url of the issuer explicitly to allow it\.$/,
      )
    expect(other.reached.connections).toBe(0)
    const explicit = trustsIssuers([{ issuer: "https://id.example", jwks_url: `http://127.0.0.1:${other.port}/keys` }])
    expect(await fetched(createGuardedFetch(guard, explicit), `http://127.0.0.1:${other.port}/keys`)).toEqual({
      keys: [],
    })
  })
  test("come from other hosts that are open, but not over a redirect", async () => {
    const { port, reached } = await plain(document)
    const { guard } = await guardOf(() => ["127.0.0.1"])
    const fetch = createGuardedFetch(guard, () => false)
    expect(await fetched(fetch, `http://keys.example:${port}/keys`)).toEqual({ keys: [] })
    expect(await fetched(fetch, `http://keys.example:${port}/moved`)).toBe("it was answered with 302")
    expect(reached.connections).toBe(2)
  })
  test("are refused over http, unless that is allowed", async () => {
    const { guard } = await guardOf(() => ["8.8.8.8"], { options: { ...opened, allow_http: false } })
    expect(
      await fetched(
        createGuardedFetch(guard, () => false),
        "http://keys.example/keys",
      ),
    ).toContain("not an https URL")
  })
  test("end with their signal", async () => {
    const { port } = await plain(() => {})
    const { guard } = await guardOf(() => ["127.0.0.1"])
    const ending = new AbortController()
    const fetch = createGuardedFetch(guard, () => false)(`http://keys.example:${port}/`, {
      signal: ending.signal,
      redirect: "error",
    })
    setTimeout(() => ending.abort(), 50)
    await expect(fetch).rejects.toThrow(/abort/i)
  })
})
