/** Whether a gateway answers, as `reflow check --reach` and the chart's `helm test` find out. */
import { createServer, type IncomingHttpHeaders, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { afterEach, expect, test } from "vitest"
import { systemClock } from "../../src/adapters/system/clock.ts"
import { checkGateway } from "../../src/roles/check/gateway.ts"
import { fakeClock } from "../support/fake-clock.ts"

let server: Server | undefined
afterEach(() => {
  server?.closeAllConnections()
  server?.close()
})

/** A server that gives these answers in turn, the last one again and again; what it was asked is kept. */
const serve = async (...answers: readonly (readonly [number, Record<string, string>])[]) => {
  const asked: { readonly url: string | undefined; readonly headers: IncomingHttpHeaders }[] = []
  server = createServer(({ url, headers }, response) => {
    asked.push({ url, headers })
    const [status, fields] = answers[Math.min(asked.length, answers.length) - 1] ?? [500, {}]
    response.writeHead(status, fields).end()
  })
  await new Promise<void>((done) => server?.listen(0, "127.0.0.1", done))
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked }
}

const challenge = { "www-authenticate": 'Bearer realm="reflow", resource_metadata="x"' }
const signal = AbortSignal.timeout(20_000)

test("a gateway is known by its asking for a token, also when the first answer is another's", async () => {
  const { url, asked } = await serve([503, {}], [401, challenge])
  const finding = await checkGateway({ url, publicUrl: "", clock: systemClock, signal })
  expect(finding).toEqual({ what: `gateway at ${url}`, ok: true, detail: "answers, and asks for a token" })
  expect(asked.map((each) => each.url)).toEqual(["/api/whoami", "/api/whoami"])
  expect(asked[0]?.headers.host).toBe(url.slice("http://".length))
})

test("the host that clients use is asked for", async () => {
  const { url, asked } = await serve([401, challenge])
  await checkGateway({ url, publicUrl: "https://mcp.example.com:8443", clock: systemClock, signal })
  expect(asked[0]?.headers.host).toBe("mcp.example.com:8443")
})

/** A clock on which each pause is over at once, and takes its time. */
const hasty = () => {
  const clock = fakeClock()
  return { ...clock, sleep: async (ms: number) => clock.advance(ms) }
}

test.each([
  [200, {}, "answered 200"],
  [401, { "www-authenticate": "Basic" }, "answered 401"],
  [404, {}, "answered 404"],
])(
  "another program that answers %s is told after a quarter of a minute",
  async (status, fields: Record<string, string>, said) => {
    const { url, asked } = await serve([status, fields])
    const finding = await checkGateway({ url, publicUrl: "", clock: hasty(), signal })
    expect(finding.ok).toBe(false)
    expect(finding.detail).toContain(said)
    expect(asked).toHaveLength(30)
  },
)

test("an address where nobody listens is told", async () => {
  const finding = await checkGateway({ url: "http://127.0.0.1:1", publicUrl: "", clock: hasty(), signal })
  expect(finding).toMatchObject({ ok: false, detail: expect.stringContaining("cannot be reached: ") })
  expect(finding.help).toContain("NetworkPolicies")
})

test("a check that is ended tells what it knows", async () => {
  const { url } = await serve([404, {}])
  const finding = await checkGateway({ url, publicUrl: "", clock: systemClock, signal: AbortSignal.abort() })
  expect(finding.ok).toBe(false)
})
