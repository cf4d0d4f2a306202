import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { inspect } from "node:util"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { startBridge } from "../../src/bridge/bridge.ts"
import { connectV1, connectV2 } from "../support/mcp-peers.ts"
import { initialize, post, type Reflow, startReflow, target } from "../support/reflow.ts"

const kinds = ["per_session", "shared"] as const
const folder = mkdtempSync(join(tmpdir(), "reflow-failing-"))
/** Writes when it ends into the file DEATHS. */
const dies = (first: string): string[] => [
  "sh",
  "-c",
  `${first}echo token missing >&2; date +%s%3N >> "$DEATHS"; exit 1`,
]
/** Commands that cannot serve, each with the exit code and the words that a caller must hear. */
const commands: Readonly<Record<string, readonly [command: string[], exitCode: number, words: RegExp]>> = {
  "does not exist": [["no-such-program"], 127, /no-such-program/],
  "ends at once": [dies(""), 1, /token missing/],
  "ends later": [dies("sleep 0.8; "), 1, /token missing/],
}
/** Name of a caller's target, of its own, because a server that ends often is started later and later. */
const nameOf = (command: string, processes: string, caller: string): string =>
  `${command}-${processes}-${caller}`.replaceAll(/[ _]/g, "-")
const deathsOf = (name: string): string => join(folder, name)
const failing = (name: string, command: string[], stdio: object, more: object = {}): string =>
  target(name, command, { stdio, env: [{ name: "DEATHS", value: deathsOf(name) }], ...more })
/** Clients by the names of their targets. */
const clients = {
  first: connectV1,
  auto: (url: string, token: string) => connectV2("auto", url, token),
  pinned: (url: string, token: string) => connectV2("2026-07-28", url, token),
}

let reflow: Reflow
let alice: string

const targetsOf = (caller: string): string[] =>
  Object.entries(commands).flatMap(([name, [command]]) =>
    kinds.map((processes) => failing(nameOf(name, processes, caller), command, { processes })),
  )

beforeAll(async () => {
  const targets = ["raw", ...Object.keys(clients)].flatMap(targetsOf)
  targets.push(failing("everyones", dies(""), { maxProcesses: 2 }, { isolationBoundary: "shared" }))
  reflow = await startReflow({ targets: targets.join("") })
  alice = await reflow.token("alice")
})
afterAll(async () => {
  await reflow?.stop()
  rmSync(folder, { recursive: true, force: true })
})

/**
 * When the command of a target ended, epoch milliseconds; undefined if it never ran. One that is shared has ended twice
 * before its instance counts as failed, as any server that crashes; the second end is told at once.
 */
const deathOf = (name: string, processes: (typeof kinds)[number]): number | undefined => {
  if (!existsSync(deathsOf(name))) return undefined
  const ends = readFileSync(deathsOf(name), "utf8").trim().split("\n")
  return Number(processes === "shared" ? ends.at(-1) : ends[0])
}

type Failure = { readonly message: string; readonly data: { readonly log: readonly string[] } }

/** The error in an answer, which is an event stream if the server took long to start. */
const errorIn = async (answer: Response): Promise<Failure> => {
  const text = await answer.text()
  const [, data = text] = /^data: (\{.*)$/m.exec(text) ?? []
  return JSON.parse(data).error
}

describe.each(Object.entries(commands))("a command that %s", (command, [, exitCode, words]) => {
  test.each(kinds)("is told to the waiting client within two seconds of its end, %s", async (processes) => {
    const name = nameOf(command, processes, "raw")
    const answer = await post(`${reflow.url}/mcp/${name}`, alice, initialize())
    const error = await errorIn(answer)
    const heard = Date.now()
    expect(answer.status).toBe(200)
    expect(error.data).toMatchObject({ exit_code: exitCode })
    expect(error.data).toMatchObject({ code: expect.stringMatching(/^(ServerProcessEnded|InstanceFailed)$/) })
    expect(error.message).toContain(`exit code ${exitCode}`)
    expect(error.data.log.join("\n")).toMatch(words)
    expect(heard - (deathOf(name, processes) ?? heard)).toBeLessThan(2_000)
  })

  test.each(Object.entries(clients))("is told to the client %s", async (client, connect) => {
    for (const processes of kinds) {
      const url = `${reflow.url}/mcp/${nameOf(command, processes, client)}`
      // the 2.x library says what its first question was told in the error's data
      expect(await connect(url, alice).then(() => "connected", inspect)).toContain(`exit code ${exitCode}`)
    }
  })
})

test("the next caller hears of it too, when the instance has failed", async () => {
  const url = `${reflow.url}/mcp/${nameOf("ends at once", "per_session", "raw")}`
  const next = async () => (await errorIn(await post(url, alice, initialize()))).data
  await expect.poll(next, { timeout: 20_000 }).toMatchObject({
    ...{ code: "InstanceFailed", reason: "CrashLoop", exit_code: 1 },
    log: expect.arrayContaining([expect.stringContaining("token missing")]),
  })
})

test("a server of several users tells the exit code, but not its last lines", async () => {
  const text = await (await post(`${reflow.url}/mcp/everyones`, alice, initialize())).text()
  expect(text).toContain("exit code 1")
  expect(text).not.toContain("token missing")
})

test("a client that connected just before the first process ended hears why it ended", async () => {
  const go = deathsOf("go")
  const ended = Promise.withResolvers<void>()
  let log = ""
  const bridge = await startBridge({
    command: ["sh", "-c", 'until [ -e "$GO" ]; do sleep 0.05; done; echo token missing >&2; exit 3'],
    environment: { PATH: process.env.PATH, GO: go },
    ...{ host: "127.0.0.1", port: 0, path: "/mcp", processes: "per_session", maxProcesses: 1, idleMs: 60_000 },
    ...{ startMs: 60_000, singleUser: true, guarded: false },
    write: (text) => {
      log += text
      if (text.includes("c1: ended")) ended.resolve()
    },
  })
  writeFileSync(go, "")
  await ended.promise
  const answer = await post(`http://127.0.0.1:${bridge.port}/mcp`, undefined, initialize())
  expect(answer.status).toBe(200)
  const data = { code: "ServerProcessEnded", exit_code: 3, log: ["token missing"] }
  expect(await errorIn(answer)).toMatchObject({ code: -32603, data })
  expect(log).not.toContain("c2: started")
  expect(await bridge.failed).toBe(3)
  await bridge.close()
})
