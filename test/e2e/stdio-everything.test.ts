import { gunzipSync } from "node:zlib"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { type Reflow, startReflow, target } from "../support/reflow.ts"
import { connectStdio, type Library, type StdioPeer } from "../support/stdio-peers.ts"

let reflow: Reflow
let token: string

beforeAll(async () => {
  reflow = await startReflow({ targets: target("everything", ["mcp-server-everything"], { stdio: {} }) })
  token = await reflow.token("alice")
})
afterAll(async () => {
  await reflow?.stop()
})

const root = { uri: "file:///home/alice/work", name: "work" }
const connect = (library: Library) => connectStdio(library, `${reflow.url}/mcp/everything`, { token, roots: [root] })
const personal = [
  "get-roots-list",
  "trigger-sampling-request",
  "trigger-elicitation-request",
  "trigger-url-elicitation",
]
const dynamic = "demo://resource/dynamic/text/7"

const testCommon = (peer: () => StdioPeer): void => {
  test("calls a tool, with characters of every kind", async () => {
    const message = 'hi <there> & "ünïcode" ☃ \u2028 🎲'
    expect(await peer().call("echo", { message })).toMatchObject({ text: `Echo: ${message}`, error: false })
    expect((await peer().call("get-sum", { a: 2, b: 40 })).text).toContain("42")
  })
  test("hears of a wrong argument", async () => {
    expect(await peer().call("get-sum", { a: "two", b: 40 })).toMatchObject({
      error: true,
      text: expect.stringContaining("Input validation error"),
    })
  })
  test("hears of progress, in order, before the answer", async () => {
    const { text, progress } = await peer().call("trigger-long-running-operation", { duration: 0.4, steps: 4 })
    expect(text).toBe("Long running operation completed. Duration: 0.4 seconds, Steps: 4.")
    expect(progress).toEqual([1, 2, 3, 4])
  })
  test("lists and reads resources, also by a template", async () => {
    const { resources } = await peer().ask.listResources()
    const { uri } = resources.find(({ name }: { name: string }) => name === "features.md")
    expect((await peer().ask.readResource({ uri })).contents[0].text).toContain("# Everything Server")
    const { resourceTemplates } = await peer().ask.listResourceTemplates()
    expect(resourceTemplates.map((each: { uriTemplate: string }) => each.uriTemplate)).toEqual([
      "demo://resource/dynamic/text/{resourceId}",
      "demo://resource/dynamic/blob/{resourceId}",
    ])
    const { contents } = await peer().ask.readResource({ uri: dynamic })
    expect(contents).toMatchObject([{ uri: dynamic, text: expect.stringContaining("Resource 7:") }])
    await expect(peer().ask.readResource({ uri: "demo://nothing" })).rejects.toThrow(/demo:\/\/nothing/)
  })
  test("lists and gets prompts, and completes their arguments", async () => {
    const { prompts } = await peer().ask.listPrompts()
    expect(prompts.map(({ name }: { name: string }) => name)).toContain("completable-prompt")
    const { messages } = await peer().ask.getPrompt({ name: "args-prompt", arguments: { city: "Ulm", state: "BW" } })
    expect(messages).toMatchObject([{ role: "user", content: { text: "What's weather in Ulm, BW?" } }])
    const ref = { type: "ref/prompt", name: "completable-prompt" }
    const asked = { ref, argument: { name: "name", value: "E" }, context: { arguments: { department: "Sales" } } }
    expect((await peer().ask.complete(asked)).completion.values).toEqual(["Eve"])
    const template = { type: "ref/resource", uri: "demo://resource/dynamic/text/{resourceId}" }
    const id = { ref: template, argument: { name: "resourceId", value: "12" } }
    expect((await peer().ask.complete(id)).completion.values).toEqual(["12"])
  })
  test("gets the environment of a process of its own, without the bridge's settings", async () => {
    const environment = JSON.parse((await peer().call("get-env")).text)
    expect(environment).toHaveProperty("PATH")
    expect(Object.keys(environment).filter((name) => name === "PORT" || name.startsWith("REFLOW_"))).toEqual([])
  })
}

const testPersonal = (peer: () => StdioPeer): void => {
  test("offers the tools that ask the client", async () => {
    const { tools } = await peer().ask.listTools()
    const names = tools.map(({ name }: { name: string }) => name)
    expect(names).toEqual(expect.arrayContaining(personal.slice(0, 3)))
  })
  test("answers a sampling request in the middle of a call", async () => {
    const { text } = await peer().call("trigger-sampling-request", { prompt: "say it", maxTokens: 9 })
    expect(text).toContain("sampled!")
  })
  test("answers an elicitation request in the middle of a call", async () => {
    const { text } = await peer().call("trigger-elicitation-request")
    expect(text).toContain("Ada")
    expect(text).toContain('"action": "accept"')
  })
  test("shows its roots, and the new ones after they changed", async () => {
    expect((await peer().call("get-roots-list")).text).toContain(`1. work\n   URI: ${root.uri}`)
    await peer().changeRoots([root, { uri: "file:///home/alice/play", name: "play" }])
    await peer().notice(({ params }) => String(params?.data).includes("Roots updated: 2 root(s)"))
    expect((await peer().call("get-roots-list")).text).toContain("2. play\n   URI: file:///home/alice/play")
  })
  test("gets the log messages of its level", async () => {
    await peer().ask.setLoggingLevel("debug")
    await peer().call("toggle-simulated-logging")
    const logged = await peer().notice(({ params }) => /[- ]level[- ]message/i.test(String(params?.data)))
    expect(logged.params?.level).toMatch(/^(debug|info|notice|warning|error|critical|alert|emergency)$/)
    expect((await peer().call("toggle-simulated-logging")).text).toContain("Stopped simulated")
  })
  test("hears of updates of a resource for as long as it is subscribed", async () => {
    await peer().ask.subscribeResource({ uri: dynamic })
    await peer().call("toggle-subscriber-updates")
    const updated = await peer().notice(({ method }) => method === "notifications/resources/updated")
    expect(updated.params).toMatchObject({ uri: dynamic })
    await peer().ask.unsubscribeResource({ uri: dynamic })
    expect((await peer().call("toggle-subscriber-updates")).text).toContain("Stopped simulated")
  })
  test("hears of a resource that a call made, and reads it", async () => {
    const args = { name: "made.gz", data: "data:text/plain,hello", outputType: "resourceLink" }
    expect((await peer().call("gzip-file-as-resource", args)).error).toBe(false)
    await peer().notice(({ method }) => method === "notifications/resources/list_changed")
    const { contents } = await peer().ask.readResource({ uri: "demo://resource/session/made.gz" })
    expect(gunzipSync(Buffer.from(contents[0].blob, "base64")).toString()).toBe("hello")
  })
}

describe.each<Library>(["v1", "v2 legacy"])("server-everything over stdin and stdout with the client %s", (library) => {
  let peer: StdioPeer
  beforeAll(async () => {
    peer = await connect(library)
  })
  afterAll(async () => {
    await peer?.close()
  })
  test("agrees on 2025-11-25, in a session", () => {
    expect(peer.revision).toBe("2025-11-25")
    expect(peer.session).toMatch(/./)
  })
  testCommon(() => peer)
  testPersonal(() => peer)
})

describe.each<Library>(["v2 auto", "v2 modern"])(
  "server-everything over stdin and stdout with the client %s",
  (library) => {
    let peer: StdioPeer
    beforeAll(async () => {
      peer = await connect(library)
    })
    afterAll(async () => {
      await peer?.close()
    })
    test("agrees on 2026-07-28, though the server knows only sessions", () => {
      expect(peer.revision).toBe("2026-07-28")
      expect(peer.session).toBeUndefined()
    })
    testCommon(() => peer)
    test("offers no tool that asks the client", async () => {
      const { tools } = await peer.ask.listTools()
      const names = tools.map(({ name }: { name: string }) => name)
      expect(names).toContain("echo")
      expect(names.filter((name: string) => personal.includes(name))).toEqual([])
    })
  },
)
