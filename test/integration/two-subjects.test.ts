/** Two subjects that look alike, or that a careless encoding makes equal, are two users: real tokens, real pipeline. */
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { afterEach, beforeEach, expect, test } from "vitest"
import { httpServerOptions } from "../../src/door/front-door.ts"
import { type DataPath, startDataPath } from "../support/data-path.ts"
import { fakeClock } from "../support/fake-clock.ts"
import { quietTelemetry } from "../support/quiet-telemetry.ts"
import { answerJson, type FakeServer, initialize, startServer } from "./gateway-stage.ts"

const clock = fakeClock()
let way: DataPath
let front: Server
let server: FakeServer
let url: string

beforeEach(async () => {
  way = await startDataPath({ clock, telemetry: quietTelemetry(), settle: () => clock.advance(0) })
  front = createServer(httpServerOptions, way.handler)
  await new Promise<void>((resolve) => front.listen(0, "127.0.0.1", resolve))
  url = `http://127.0.0.1:${(front.address() as AddressInfo).port}${way.path}`
  server = await startServer((seen, response) => answerJson(response, seen, {}))
})
afterEach(async () => {
  front.closeAllConnections()
  await new Promise((resolve) => front.close(resolve))
  await way.close()
  await server.close()
})

const post = (token: string): Promise<Response> =>
  fetch(url, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify(initialize),
  })

/** Lets the subject in, plays the operator for its instance, and tells which one that is. */
const instanceOf = async (sub: string): Promise<readonly string[]> => {
  const before = await way.instances()
  const answer = post(await way.sign({ sub }))
  await expect.poll(async () => (await way.instances()).length).toBe(before.length + 1)
  const made = (await way.instances()).filter((name) => !before.includes(name))
  for (const name of made) await way.report(name, server.url)
  expect((await answer).status).toBe(200)
  return made
}

test.each([
  ["a combining mark", "ren\u00e9", "rene\u0301"],
  ["case", "alice", "ALICE"],
  ["a blank at the end", "alice", "alice "],
  ["NUL at the end", "alice", "alice\0"],
  ["the last of 1,024 characters", "x".repeat(1_024), `${"x".repeat(1_023)}y`],
  ["a character beyond the first plane", "u\ud83d\ude00", "u\ud83d\ude01"],
])("two subjects that differ by %s have an instance each", async (_name, one, other) => {
  const [first, second] = [await instanceOf(one), await instanceOf(other)]
  expect(second).not.toEqual(first)
  expect(await way.instances()).toHaveLength(2)
})

test("subjects with half a surrogate pair are nobody's: they would all be one user", async () => {
  for (const sub of ["u\ud83d", "u\ud83e", "\udc00"]) {
    const answer = await post(await way.sign({ sub }))
    expect(answer.status).toBe(401)
    expect(answer.headers.get("www-authenticate")).toContain('error="invalid_token"')
    const text = await answer.text()
    expect(text).toContain("its subject is no valid Unicode")
    expect(text).not.toMatch(/ud83|\ufffd/i)
  }
  expect(await way.instances()).toEqual([])
})
