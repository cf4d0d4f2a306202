import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { connectV1, connectV2, type Peer } from "../support/mcp-peers.ts"
import { type Reflow, repositoryFile, startReflow, target } from "../support/reflow.ts"
import { giveUpSlow } from "../support/slow-call.ts"
import { connectStdio, type Library, type StdioPeer } from "../support/stdio-peers.ts"

const server = (name: string) => ["node", repositoryFile(`test/fixtures/servers/${name}.mjs`)]
const folder = mkdtempSync(join(tmpdir(), "reflow-stdio-"))
const cancelFile = (name: string) => join(folder, name)
const cancelEnv = (name: string) => ({ env: [{ name: "CANCEL_FILE", value: cancelFile(name) }] })
const shared = join(folder, "shared")
const stdio = {}

/** Clients, each with servers of its own, whose files tell of no other's call. */
const clients: readonly [string, string, (url: string) => Promise<Peer>][] = [
  ["the 1.x client", "first", (url) => connectV1(url, alice)],
  ["the 2.x client in legacy mode", "legacy", (url) => connectV2("legacy", url, alice)],
  ["the 2.x client in auto mode", "auto", (url) => connectV2("auto", url, alice)],
  ["the 2.x client pinned to 2026-07-28", "pinned", (url) => connectV2("2026-07-28", url, alice)],
]

let reflow: Reflow
let alice: string
let bob: string

beforeAll(async () => {
  mkdirSync(shared)
  const memory = { env: [{ name: "MEMORY_FILE_PATH", value: join(folder, "memory.jsonl") }] }
  const credentials = [{ name: "TOKEN", required: true }]
  reflow = await startReflow({
    targets:
      target("everything", ["mcp-server-everything"], { stdio }) +
      target("keyed", ["mcp-server-everything"], { stdio, credentials }) +
      target("files", ["mcp-server-filesystem", shared], { stdio }) +
      target("memory", ["mcp-server-memory"], { stdio, ...memory }) +
      clients
        .map(
          ([, name]) =>
            target(`plain-${name}`, server("stdio-cancel"), { stdio, ...cancelEnv(`plain-${name}`) }) +
            target(`dual-${name}`, server("stdio-dual"), { stdio, ...cancelEnv(`dual-${name}`) }),
        )
        .join(""),
  })
  alice = await reflow.token("alice")
  bob = await reflow.token("bob")
})
afterAll(async () => {
  await reflow?.stop()
  rmSync(folder, { recursive: true, force: true })
})

const at = (name: string) => `${reflow.url}/mcp/${name}`

describe.each(clients)("%s", (_, name, connect) => {
  const revision = name === "first" || name === "legacy" ? "2025-11-25" : "2026-07-28"

  test("speaks to an SDK's server of both eras in its own era", async () => {
    const peer = await connect(at(`dual-${name}`))
    expect(peer.revision()).toBe(revision)
    await peer.setLevel("debug")
    expect(await peer.call("progress", { steps: 3 })).toMatchObject({ text: "3 steps done", progress: 3 })
    expect((await peer.notice("notifications/message")).params).toMatchObject({ level: "info", data: "step 1 of 3" })
    expect((await peer.call("sample")).text).toBe("the model said: sampled!")
    expect((await peer.call("elicit")).text).toBe('the user said: accept {"name":"Ada"}')
    const end = await peer.subscribe("test://counter")
    const { text } = await peer.call("touch")
    expect((await peer.notice("notifications/resources/updated")).params).toMatchObject({ uri: "test://counter" })
    expect(await peer.read("test://counter")).toBe(text)
    await end()
    await peer.close()
  })

  test("gives up a call, which an SDK's server sees within a second", async () => {
    const peer = await connect(at(`dual-${name}`))
    await giveUpSlow(cancelFile(`dual-${name}`), (signal) => peer.call("slow", {}, signal))
    expect((await peer.call("echo", { message: "on" })).text).toBe("Echo: on")
    await peer.close()
  })

  test("gives up a call, and the server is told of the id that it got, within a second", async () => {
    const peer = await connect(at(`plain-${name}`))
    const file = cancelFile(`plain-${name}`)
    await giveUpSlow(file, (signal) => peer.call("slow", {}, signal))
    expect(readFileSync(file, "utf8")).toBe(readFileSync(`${file}.began`, "utf8"))
    await peer.close()
  })
})

const open = (name: string, roots: string[] = [], token = alice, library: Library = "v1"): Promise<StdioPeer> =>
  connectStdio(library, at(name), {
    token,
    roots: roots.map((path) => ({ uri: pathToFileURL(path).href, name: path })),
  })

test("server-filesystem reads and writes files of its folder, and refuses others", async () => {
  const peer = await open("files", [shared])
  const path = join(shared, "note.txt")
  expect((await peer.call("write_file", { path, content: "zwölf\nlines" })).error).toBe(false)
  expect(readFileSync(path, "utf8")).toBe("zwölf\nlines")
  expect((await peer.call("read_text_file", { path, head: 1 })).text).toBe("zwölf")
  expect((await peer.call("list_directory", { path: shared })).text).toBe("[FILE] note.txt")
  const outside = await peer.call("read_text_file", { path: "/etc/hostname" })
  expect(outside).toMatchObject({ error: true, text: expect.stringContaining("Access denied") })
  await peer.close()
})

test("server-memory remembers a graph, and a later session of the user finds it", async () => {
  const first = await open("memory")
  const ada = { name: "Ada", entityType: "person", observations: ["writes programs"] }
  await first.call("create_entities", { entities: [ada] })
  await first.close()
  const second = await open("memory", [], alice, "v2 modern")
  expect(JSON.parse((await second.call("search_nodes", { query: "programs" })).text).entities).toMatchObject([ada])
  await second.close()
})

test("two sessions of one user at once have a process each, whose states do not cross", async () => {
  const folders = ["one", "two"].map((name) => join(folder, name))
  for (const path of folders) mkdirSync(path)
  const peers = await Promise.all(folders.map((path) => open("files", [path])))
  const seen = async () => Promise.all(peers.map(async (peer) => (await peer.call("list_allowed_directories")).text))
  await expect.poll(seen, { timeout: 10_000 }).toEqual(folders.map((path) => `Allowed directories:\n${path}`))
  for (const [index, path] of folders.entries()) writeFileSync(join(path, "mine"), String(index))
  const [first, second] = peers as [StdioPeer, StdioPeer]
  const [one = "", two = ""] = folders
  expect((await first.call("read_text_file", { path: join(one, "mine") })).text).toBe("0")
  expect((await first.call("read_text_file", { path: join(two, "mine") })).error).toBe(true)
  expect((await second.call("read_text_file", { path: join(two, "mine") })).text).toBe("1")
  await Promise.all(peers.map((peer) => peer.close()))
})

test("what one session of a user made, logs and subscribed to is not the other's", async () => {
  const [first, second] = await Promise.all([open("everything"), open("everything", [], alice, "v2 legacy")])
  const uri = "demo://resource/session/mine.gz"
  await first.call("gzip-file-as-resource", { name: "mine.gz", data: "data:text/plain,x", outputType: "resourceLink" })
  await first.ask.subscribeResource({ uri: "demo://resource/dynamic/text/1" })
  for (const tool of ["toggle-subscriber-updates", "toggle-simulated-logging"]) await first.call(tool)
  await first.notice(({ method }) => method === "notifications/resources/updated")
  await first.notice(({ params }) => /[- ]level[- ]message/i.test(String(params?.data)))
  expect((await first.ask.readResource({ uri })).contents).toHaveLength(1)
  await expect(second.ask.readResource({ uri })).rejects.toThrow(/not found/i)
  // a round trip after the first session's notices: those of the second would have come
  expect((await second.call("echo", { message: "quiet" })).text).toBe("Echo: quiet")
  const isOfFirst = ({ method, params }: (typeof second.notices)[number]) =>
    method === "notifications/resources/updated" || /[- ]level[- ]message/i.test(String(params?.data))
  expect(second.notices.filter(isOfFirst)).toEqual([])
  await Promise.all([first.close(), second.close()])
})

test("two users have a process each, with their own credential and without the other's", async () => {
  const secrets = { alice: "alice-secret-1", bob: "bob-secret-2" }
  for (const [name, TOKEN] of Object.entries(secrets)) {
    const { status } = await reflow.api("PUT", "/api/targets/keyed/env/me", { TOKEN }, name === "alice" ? alice : bob)
    expect(status).toBeLessThan(300)
  }
  const peers = await Promise.all([open("keyed", [], alice), open("keyed", [], bob)])
  const environments = await Promise.all(peers.map(async (peer) => (await peer.call("get-env")).text))
  expect(environments.map((text) => JSON.parse(text).TOKEN)).toEqual([secrets.alice, secrets.bob])
  expect(environments[0]).not.toContain(secrets.bob)
  expect(environments[1]).not.toContain(secrets.alice)
  await Promise.all(peers.map((peer) => peer.close()))
})
