import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { type Reflow, startReflow, target } from "../support/reflow.ts"
import { connectStdio, type Library } from "../support/stdio-peers.ts"
import { type ClientProgram, startClient } from "./client-program.ts"
import { folderOf } from "./languages.ts"
import { clients, isThere, type Party } from "./parties.ts"

/** A published server's own command, as its package installs it. */
const script = (name: string): string => join(folderOf("python"), "stdio/bin", name)
const isPythonThere = isThere({ ...(clients[0] as Party), language: "python" })

let reflow: Reflow
let alice: string
let site: Server
let page: string

beforeAll(async () => {
  site = createServer(({ url }, response) => {
    const isPage = url === "/page"
    response.writeHead(isPage ? 200 : 404, { "content-type": "text/plain" })
    response.end(isPage ? "0123456789 grüße" : "no")
  })
  await new Promise<void>((resolve) => site.listen(0, "127.0.0.1", resolve))
  page = `http://127.0.0.1:${(site.address() as AddressInfo).port}/page`
  const fetchCommand = [script("mcp-server-fetch"), "--allow-private-ips"]
  reflow = await startReflow({
    form: "executable",
    targets:
      target("time", [script("mcp-server-time"), "--local-timezone=Europe/Vienna"], { stdio: {} }) +
      target("fetch", fetchCommand, { stdio: {} }) +
      target("everything", ["mcp-server-everything"], { stdio: {} }),
  })
  alice = await reflow.token("alice")
})
afterAll(async () => {
  await reflow?.stop()
  site?.close()
})

const at = (name: string) => `${reflow.url}/mcp/${name}`

const testTime = (program: () => ClientProgram): void => {
  test("asks mcp-server-time", async () => {
    expect((await program().tools()).toSorted()).toEqual(["convert_time", "get_current_time"])
    const asked = { source_timezone: "UTC", time: "12:00", target_timezone: "Asia/Tokyo" }
    const { text } = await program().call("convert_time", asked)
    expect(JSON.parse(text)).toMatchObject({ target: { timezone: "Asia/Tokyo" }, time_difference: "+9.0h" })
    const wrong = { ...asked, target_timezone: "Nowhere/Land" }
    const told = await program().call("convert_time", wrong)
    expect(told).toMatchObject({ error: true, text: expect.stringContaining("Nowhere/Land") })
  })
}

const testFetch = (program: () => ClientProgram): void => {
  test("asks mcp-server-fetch", async () => {
    expect(await program().tools()).toEqual(["fetch"])
    const { text } = await program().call("fetch", { url: page, max_length: 10, start_index: 5 })
    expect(text).toContain(`Contents of ${page}:\n56789 grüß`)
    expect(text).toContain("Content truncated")
    const missing = await program().call("fetch", { url: `${page}/none` })
    expect(missing).toMatchObject({ error: true, text: expect.stringContaining("status code 404") })
  })
}

const testEverything = (program: () => ClientProgram, { newest }: Party): void => {
  test("asks server-everything, and hears of progress", async () => {
    const message = "hi <there> & 'ünïcode' ☃"
    expect(await program().call("echo", { message })).toMatchObject({ text: `Echo: ${message}`, error: false })
    const called = await program().call("trigger-long-running-operation", { duration: 0.4, steps: 4 })
    expect(called.text).toContain("completed")
    expect(called.progress).toBe(4)
    expect(await program().resources()).toContain("demo://resource/static/document/features.md")
    expect(await program().read("demo://resource/dynamic/text/3")).toContain("Resource 3:")
  })
  test("gives up a call of server-everything, and calls on", async () => {
    const leave = new AbortController()
    const options = { signal: leave.signal, onProgress: () => leave.abort() }
    const args = { duration: 20, steps: 100 }
    await expect(program().call("trigger-long-running-operation", args, options)).rejects.toThrow()
    expect((await program().call("echo", { message: "still here" })).text).toBe("Echo: still here")
  })
  // over the implicit session of the newer era, the server knows no client to ask
  if (newest !== "2025-11-25") return
  test("is asked by server-everything", async () => {
    const sampled = await program().call("trigger-sampling-request", { prompt: "x", maxTokens: 9 })
    expect(sampled.text).toContain("sampled!")
    expect((await program().call("trigger-elicitation-request")).text).toContain("Ada")
  })
}

for (const client of clients)
  describe.runIf(isThere(client))(`${client.name}, with servers over stdin and stdout,`, () => {
    let program: ClientProgram
    beforeAll(() => {
      program = startClient(client.command)
    })
    afterAll(async () => {
      await program.stop()
    })

    const inSession = (name: string, needs: boolean, testIt: () => void) =>
      describe.runIf(needs)(name, () => {
        beforeAll(async () => {
          expect((await program.connect(at(name), alice)).revision).toBe(client.newest)
        })
        afterAll(async () => {
          await program.close()
        })
        testIt()
      })
    inSession("time", isPythonThere, () => testTime(() => program))
    inSession("fetch", isPythonThere, () => testFetch(() => program))
    inSession("everything", true, () => testEverything(() => program, client))
  })

describe.runIf(isPythonThere).each<Library>(["v1", "v2 modern"])("the TypeScript client %s", (library) => {
  test("gets the prompt of mcp-server-fetch", async () => {
    const peer = await connectStdio(library, at("fetch"), { token: alice })
    const { prompts } = await peer.ask.listPrompts()
    expect(prompts.map(({ name }: { name: string }) => name)).toEqual(["fetch"])
    const { messages } = await peer.ask.getPrompt({ name: "fetch", arguments: { url: page } })
    expect(messages[0].content.text).toContain("0123456789 grüße")
    await expect(peer.ask.getPrompt({ name: "fetch" })).rejects.toThrow(/URL is required/)
    await peer.close()
  })
})
