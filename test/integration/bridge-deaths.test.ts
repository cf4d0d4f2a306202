import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, onTestFinished, test } from "vitest"
import { answerOf, answerTo, bridgeOf, open, scripted, textOf, unread } from "../support/bridge.ts"
import { legacyCall } from "../support/legacy.ts"
import { eventually, processesOfGroup } from "../support/processes.ts"
import { initialize, post } from "../support/reflow.ts"

/** Whether a process exists, as a zombie too. */
const exists = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

test("what a server prints to stdout besides messages is counted and logged, and harms no call", async () => {
  const bridge = await bridgeOf(scripted("banner"))
  const session = await open(bridge)
  expect(await textOf(session, "echo", { words: "fine" })).toBe("fine")
  expect(bridge.count().junk).toBe(3)
  expect(bridge.log).toContain("[c1] stdout: Welcome!")
  await textOf(session, "raw", { line: '{"jsonrpc":"1.0","id":1,"result":{}}' })
  await textOf(session, "raw", { line: '{"jsonrpc":"2.0","id":1}' })
  expect(await textOf(session, "echo", { words: "fine" })).toBe("fine")
  expect(bridge.count().junk).toBe(5)
})

test("a server that ends in initialize: the client hears its exit code, and no line of its stderr", async () => {
  const bridge = await bridgeOf(scripted("die=3"), { environment: { ...process.env, STORE_PASSWORD: "open sesame" } })
  const response = await post(bridge.url, undefined, initialize("é"))
  expect(response.headers.get("mcp-session-id")).toBeNull()
  const { id, error } = await answerOf(response, "é")
  expect(id).toBe("é")
  expect(error).toMatchObject({ code: -32603, data: { code: "ServerProcessEnded", exit_code: 3 } })
  expect(JSON.stringify(error)).not.toContain("cannot open")
})

test("a server of a single user that ends in initialize: the client sees its last lines, masked", async () => {
  const bridge = await bridgeOf(scripted("die=3"), {
    singleUser: true,
    environment: { PATH: process.env.PATH, STORE_PASSWORD: "open sesame" },
  })
  const { error } = await answerOf(await post(bridge.url, undefined, initialize()))
  expect(error.data).toMatchObject({
    exit_code: 3,
    log: ["cannot open the store", "the password *** was refused"],
  })
  expect(error.message).toContain("Its last lines: cannot open the store | the password *** was refused")
  expect(bridge.log).toContain("[c1] the password open sesame was refused")
})

test("a hint that a file has is told with every end of the server; a file that is not there, or is no hint, says nothing", async () => {
  const folder = await mkdtemp(join(tmpdir(), "reflow-hint-"))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const messageWith = async (hintFile: string): Promise<string> => {
    const bridge = await bridgeOf(scripted("die=3"), { hintFile })
    return (await answerOf(await post(bridge.url, undefined, initialize()))).error.message
  }
  await writeFile(join(folder, "hint"), "Set \u001ballowScripts.\n")
  expect(await messageWith(join(folder, "hint"))).toContain("with exit code 3. Set \uFFFDallowScripts.")
  await writeFile(join(folder, "large"), "x".repeat(100_000))
  for (const name of ["none", "large", "."])
    expect(await messageWith(join(folder, name))).toMatch(/with exit code 3\.(?! x| Set)/)
})

test("a server that ends in a call: its open calls get the reason, its session is over, others are unharmed", async () => {
  const bridge = await bridgeOf(scripted(), { singleUser: true, silenceMs: 10 })
  const [dying, other] = [await open(bridge), await open(bridge)]
  const get = await dying.send("GET")
  // its stream is open when the server ends
  const waiting = await dying.post(legacyCall("never", {}, "w"))
  const { error } = await answerTo(dying, "die", { code: 4, words: "no more" }, 2)
  expect(error).toMatchObject({ code: -32603, data: { exit_code: 4, log: ["no more"] } })
  expect((await answerOf(waiting, "w")).error).toMatchObject({ code: -32603, data: { exit_code: 4 } })
  expect(await get.text()).not.toContain("data: {")
  expect((await dying.post(legacyCall("pid"))).status).toBe(404)
  expect(await textOf(other, "echo", { words: "fine" })).toBe("fine")
  expect(bridge.count()).toMatchObject({ processes: 1, sessions: 1 })
})

test("a server that a signal ends: the open call names the signal", async () => {
  const session = await open(await bridgeOf(scripted()))
  const { error } = await answerTo(session, "die", { signal: "SIGKILL" })
  expect(error).toMatchObject({ code: -32603, data: { signal: "SIGKILL" } })
  expect(error.message).toContain("was ended by SIGKILL")
})

test("a server that never answers initialize is ended after the start timeout", async () => {
  const bridge = await bridgeOf(scripted("hang"), { startMs: 300 })
  const { error } = await answerOf(await post(bridge.url, undefined, initialize()))
  expect(error.code).toBe(-32603)
  expect(error.message).toContain("did not answer 'initialize' within 0.3 s")
  await eventually(() => bridge.count().processes === 0, 5_000, "the process has ended")
  expect(bridge.count().sessions).toBe(0)
})

test("a server that cancels initialize is ended, and the client hears of it at once", async () => {
  const bridge = await bridgeOf(scripted("cancel"), { startMs: 600_000 })
  const { error } = await answerOf(await post(bridge.url, undefined, initialize("i")), "i")
  expect(error).toMatchObject({ code: -32603, data: { code: "ServerProcessEnded" } })
  expect(error.message).toContain("cancelled 'initialize'")
  await eventually(() => bridge.count().processes === 0, 5_000, "the process has ended")
  expect(bridge.count().sessions).toBe(0)
})

test("a client that goes away before its initialize is answered leaves no process", async () => {
  const bridge = await bridgeOf(scripted("hang"))
  const gone = new AbortController()
  const opening = post(bridge.url, undefined, initialize(), {}, gone.signal).catch(() => "gone")
  await eventually(() => bridge.count().sessions === 1, 5_000, "the session is opening")
  gone.abort()
  expect(await opening).toBe("gone")
  await eventually(() => bridge.count().processes === 0, 5_000, "the process has ended")
  expect(bridge.count().sessions).toBe(0)
})

test("a line of more than 16 MiB is dropped and logged, one of 15 MiB passes, and the server is still served", async () => {
  const bridge = await bridgeOf(scripted())
  const session = await open(bridge)
  const stream = await unread(bridge, "GET", session.id)
  stream.resume()
  await textOf(session, "line", { bytes: 17 * 2 ** 20 })
  expect(bridge.count().junk).toBe(1)
  expect(bridge.log.filter((line) => line.includes("longer than 16 MiB"))).toHaveLength(1)
  const { result } = await answerTo(session, "big", { bytes: 15 * 2 ** 20 })
  expect(result.content[0].text).toHaveLength(15 * 2 ** 20)
  expect(bridge.count().junk).toBe(1)
})

test("text of many alphabets arrives whole, though the server writes each byte by itself", async () => {
  const session = await open(await bridgeOf(scripted("bytewise")))
  const words = "aé€𝄞 \u2028 漢字 👩‍👩‍👧"
  expect(await textOf(session, "echo", { words })).toBe(words)
})

test("a server that ignores the end of stdin and SIGTERM is killed after the grace", async () => {
  const bridge = await bridgeOf(scripted("stubborn"), { graceMs: 100 })
  const session = await open(bridge)
  const pid = Number(await textOf(session, "pid"))
  await session.send("DELETE")
  await eventually(() => !exists(pid), 5_000, "the process was killed")
  expect(bridge.log).toContain("reflow-bridge: c1: ended by SIGKILL")
})

test("what a server started in its group ends with it", async () => {
  const bridge = await bridgeOf(scripted())
  const session = await open(bridge)
  const [pid, grandchild] = [Number(await textOf(session, "pid")), Number(await textOf(session, "grandchild"))]
  expect(processesOfGroup(pid).map((one) => one.pid)).toContain(grandchild)
  await answerTo(session, "die", { code: 0 })
  await eventually(() => processesOfGroup(pid).length === 0, 5_000, "the whole group has ended")
})

test("a server that closes its stdout can answer nothing any more, and is ended", async () => {
  const bridge = await bridgeOf(scripted(), { graceMs: 100 })
  const session = await open(bridge)
  const { error } = await answerTo(session, "mute")
  expect(error.code).toBe(-32603)
  await eventually(() => bridge.count().processes === 0, 5_000, "the process has ended")
})

test("a command that does not exist fails with the code of shells", async () => {
  const bridge = await bridgeOf(["/does/not/exist"])
  expect(await bridge.failed).toBe(127)
  expect(bridge.log).toContain("reflow-bridge: c1: could not be started (ENOENT)")
})

test("a command that nothing can start fails with the code of shells too, and says why", async () => {
  const bridge = await bridgeOf(["/etc/passwd/x"])
  expect((await answerOf(await post(bridge.url, undefined, initialize()))).error.message).toContain(
    "could not be started (ENOTDIR)",
  )
  expect(await bridge.failed).toBe(127)
  expect(bridge.log).toContain("reflow-bridge: c1: could not be started (ENOTDIR)")
})

test("a first process that ends before any session fails with its exit code, or 128 and its signal", async () => {
  const [exited, killed] = [
    await bridgeOf(["/bin/sh", "-c", "exit 5"]),
    await bridgeOf(["/bin/sh", "-c", "kill -9 $$"]),
  ]
  expect(await exited.failed).toBe(5)
  expect(await killed.failed).toBe(137)
})

test("a first process that has a session fails nothing but the session", async () => {
  const bridge = await bridgeOf(scripted())
  await answerTo(await open(bridge), "die", { code: 3 })
  let code: number | undefined
  void bridge.failed.then((failed) => {
    code = failed
  })
  expect(await textOf(await open(bridge), "echo", { words: "again" })).toBe("again")
  expect(code).toBeUndefined()
})

test("the last words of a server reach the log, though they end without a line end", async () => {
  const bridge = await bridgeOf(["/bin/sh", "-c", "printf 'out of luck' >&2; exit 5"])
  await bridge.failed
  expect(bridge.log).toContain("[c1] out of luck")
})

test("the bridge's end ends all its processes", async () => {
  const bridge = await bridgeOf(scripted())
  const sessions = [await open(bridge), await open(bridge)]
  const pids = await Promise.all(sessions.map(async (session) => Number(await textOf(session, "pid"))))
  await bridge.close()
  expect(pids.filter(exists)).toEqual([])
  await expect(post(bridge.url, undefined, initialize())).rejects.toThrow()
})
