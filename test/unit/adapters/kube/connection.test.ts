import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { connect } from "../../../../src/adapters/kube/connection.ts"

let folder = ""
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "reflow-connection-"))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const write = async (cluster: object, more: object = {}): Promise<string> => {
  const path = join(folder, `${Math.random()}`)
  const config = {
    clusters: [{ name: "c", cluster }],
    users: [{ name: "u", user: { token: "t" } }],
    contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
    "current-context": "x",
    ...more,
  }
  await writeFile(path, JSON.stringify(config))
  return path
}

test.each([
  ["no TLS, unless that is said", { server: "http://api.test" }],
  ["a socks proxy", { server: "https://api.test", "proxy-url": "socks5://127.0.0.1:1" }],
  ["no URL", { server: "api test" }],
])("a kubeconfig with %s is refused before anything is sent", async (_, cluster) => {
  const path = await write(cluster)
  expect(() => connect(path)).toThrowError(expect.objectContaining({ code: "ConfigInvalid" }))
})

test("a kubeconfig that is missing, or whose context names nothing, is refused", async () => {
  const lost = await write({ server: "https://api.test" }, { "current-context": "y" })
  for (const path of [join(folder, "missing"), lost])
    expect(() => connect(path)).toThrowError(expect.objectContaining({ code: "ConfigInvalid" }))
})

test("outside a Pod an empty kubeconfig is refused with advice", () => {
  expect(() => connect("")).toThrowError(/this is no Pod/)
})

test("the server's address loses its slash, and the context's namespace is this process'", async () => {
  const contexts = [{ name: "x", context: { cluster: "c", user: "u", namespace: "home" } }]
  const connection = connect(await write({ server: "https://api.test/base/" }, { contexts }))
  expect(connection.server).toBe("https://api.test/base")
  expect(connection.namespace).toBe("home")
  await connection.close()
})

test("calls share one dispatcher and watches another, as long as the TLS material is the same", async () => {
  const connection = connect(await write({ server: "https://api.test" }))
  const [one, two, watch] = [
    await connection.authenticate("call"),
    await connection.authenticate("call"),
    await connection.authenticate("watch"),
  ]
  expect(one.headers).toEqual({ Authorization: "Bearer t" })
  expect(two.dispatcher).toBe(one.dispatcher)
  expect(watch.dispatcher).not.toBe(one.dispatcher)
  connection.reload()
  expect((await connection.authenticate("call")).dispatcher).toBe(one.dispatcher)
  await connection.close()
})

test("a certificate authority that changes on disk gets new connections", async () => {
  const ca = join(folder, "ca.crt")
  await writeFile(ca, "first")
  const connection = connect(await write({ server: "https://api.test", "certificate-authority": ca }))
  const before = await connection.authenticate("call")
  await writeFile(ca, "second")
  const after = await connection.authenticate("call")
  expect(after.dispatcher).not.toBe(before.dispatcher)
  await connection.close()
})

test("only the suspect connections are replaced, once, and those of watches stay", async () => {
  const connection = connect(await write({ server: "https://api.test" }))
  const [before, watch] = [await connection.authenticate("call"), await connection.authenticate("watch")]
  connection.reconnect(before.dispatcher)
  const after = await connection.authenticate("call")
  expect(after.dispatcher).not.toBe(before.dispatcher)
  connection.reconnect(before.dispatcher)
  expect((await connection.authenticate("call")).dispatcher).toBe(after.dispatcher)
  expect((await connection.authenticate("watch")).dispatcher).toBe(watch.dispatcher)
  await connection.close()
})
