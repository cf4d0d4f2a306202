import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, test } from "vitest"
import { answerOf, bridgeOf, fixture, modernText, open, postModern, scripted } from "../support/bridge.ts"
import { eventually } from "../support/processes.ts"

/** A command whose processes end with code 3 while a file exists; `once`: the file is gone after one of them. */
const fragile = (command: readonly string[], once: boolean) => {
  const file = join(mkdtempSync(join(tmpdir(), "bridge-")), "ends")
  const script = `if [ -e ${file} ]; then ${once ? `rm ${file}; ` : ""}exit 3; fi; exec "$@"`
  return {
    command: ["/bin/sh", "-c", script, "sh", ...command],
    breakIt: () => writeFileSync(file, ""),
    mend: () => rmSync(file),
  }
}

/** A server of the legacy era in a few lines, for what the scripted one does not do. */
const legacyServer = (onUnknown: string): readonly string[] => [
  process.execPath,
  "-e",
  `require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
    const { id, method, params } = JSON.parse(line)
    const answer = (result) => console.log(JSON.stringify({ jsonrpc: "2.0", id, result }))
    if (method === "initialize") answer({ protocolVersion: params.protocolVersion, capabilities: { tools: {} } })
    else if (method === "tools/call") answer({ content: [{ type: "text", text: "served" }] })
    else if (method === "tools/list") answer({ tools: [] })
    else if (id !== undefined) ${onUnknown}
  })`,
]

const called = async (bridge: { readonly url: string }) =>
  answerOf(await postModern(bridge, "tools/call", { name: "pid", arguments: {} }))

test("a server of the modern era that is used lives on, however long ago it was started", async () => {
  const bridge = await bridgeOf(fixture("modern"), { idleMs: 1_000 })
  const pids = new Set<string>()
  const begin = performance.now()
  while (performance.now() - begin < 2_500) pids.add(await modernText(bridge, "pid"))
  expect(pids.size).toBe(1)
})

test("a process that dies at its start is an error of that request, and the server's era stays modern", async () => {
  const { command, breakIt } = fragile(fixture("modern"), true)
  const bridge = await bridgeOf(command)
  await modernText(bridge, "pid")
  breakIt()
  await expect(modernText(bridge, "die", { code: 1 })).rejects.toThrow("exit code 1")
  await eventually(() => bridge.count().processes === 0, 5_000, "it has ended")
  expect((await called(bridge)).error.data).toMatchObject({ code: "ServerProcessEnded", exit_code: 3 })
  expect(await modernText(bridge, "echo", { words: "again" })).toBe("again")
})

test("a server that cannot start has no era yet: what it speaks is asked again", async () => {
  const { command, breakIt, mend } = fragile(fixture("modern"), false)
  const bridge = await bridgeOf(command)
  // takes the first process, which the modern server ends by its error
  await expect(open(bridge)).rejects.toThrow()
  breakIt()
  expect((await called(bridge)).error.data).toMatchObject({ code: "ServerProcessEnded", exit_code: 3 })
  mend()
  expect(await modernText(bridge, "echo", { words: "mended" })).toBe("mended")
})

test("a server of the legacy era that ends at a request that it does not know serves the modern era too", async () => {
  const bridge = await bridgeOf(legacyServer("process.exit(1)"))
  expect(await modernText(bridge, "x")).toBe("served")
})

test("a server that is silent to what it does not know, ping excepted, is of the legacy era", async () => {
  const bridge = await bridgeOf(legacyServer(`method === "ping" && answer({})`), { discoverMs: 200 })
  expect(await modernText(bridge, "x")).toBe("served")
})

test("a server that answers nothing in time is an error, which names what it was asked", async () => {
  const bridge = await bridgeOf(["sleep", "60"], { discoverMs: 50, startMs: 500 })
  const { error } = await called(bridge)
  expect(error.message).toContain("did not answer 'server/discover' within 0.5 s")
  expect(error.data.code).toBe("ServerProcessEnded")
})

test("clients of the modern era use the shared process if a second one cannot run", async () => {
  const { command, breakIt } = fragile(scripted(), false)
  const bridge = await bridgeOf(command, { processes: "shared" })
  breakIt()
  expect(await modernText(bridge, "echo", { words: "served" })).toBe("served")
})
