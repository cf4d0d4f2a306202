import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { errorTable } from "../../src/errors.ts"
import { type Reflow, startReflow, target } from "../support/reflow.ts"
import { giveUpSlow } from "../support/slow-call.ts"
import { type ClientProgram, type Failure, failureOf, startClient } from "./client-program.ts"
import { clients, isThere, type Party, type ServerParty, servers } from "./parties.ts"

/** Every server's tool `env` is hidden. */
const policy = { tools: { allow: ["*"], deny: ["env"] } }
const shown = ["echo", "elicit", "fail", "pid", "progress", "sample", "slow"]
/** How long an error may take that is told at once, milliseconds: far less than the client's own patience. */
const atOnceMs = 5_000

/** The gateway with a target for each server, and a program for each client. */
type Stage = {
  readonly reflow: Reflow
  readonly token: string
  readonly programs: ReadonlyMap<Party, ClientProgram>
  readonly folder: string
}

const openStage = async (names: readonly string[]): Promise<Stage> => {
  const folder = mkdtempSync(join(tmpdir(), "reflow-sdks-"))
  const targets = names.map((name) => {
    const { command, env = {} } = servers[name] as ServerParty
    const all = Object.entries({ ...env, CANCEL_FILE: join(folder, name) })
    return target(name, command, { ...policy, env: all.map(([key, value]) => ({ name: key, value })) })
  })
  const reflow = await startReflow({ form: "executable", targets: targets.join("") })
  const programs = new Map(clients.filter(isThere).map((client) => [client, startClient(client.command)]))
  return { reflow, token: await reflow.token("alice"), programs, folder }
}

const closeStage = async ({ reflow, programs, folder }: Stage): Promise<void> => {
  await Promise.all([...programs.values()].map((program) => program.stop()))
  await reflow.stop()
  rmSync(folder, { recursive: true, force: true })
}

const urlOf = ({ reflow }: Stage, name: string): string => `${reflow.url}/mcp/${name}`

type Pair = { readonly program: () => ClientProgram; readonly client: Party; readonly server: ServerParty }

/** True if the server knows the client from request to request, so that it can ask it, and hear that it gave a call up. */
const isBound = ({ client, server }: Pair): boolean => server.sessionless !== true || client.newest === server.newest

const testAnswers = (pair: Pair): void => {
  const { program } = pair
  test("sees the tools that the policy shows, and no other", async () => {
    const tools = await program().tools()
    expect(shown.filter((tool) => !tools.includes(tool))).toEqual([])
    expect(tools).not.toContain("env")
  })
  test("calls a tool", async () => {
    const message = "hi <there> & 'ünïcode' ☃"
    expect(await program().call("echo", { message })).toMatchObject({ text: `Echo: ${message}`, error: false })
  })
  test("hears of progress", async () => {
    expect(await program().call("progress", { steps: 4 })).toMatchObject({ text: "4 steps done", progress: 4 })
  })
  test("lists and reads resources", async () => {
    expect(await program().resources()).toContain("test://note")
    expect(await program().read("test://note")).toBe("a note")
  })
  if (!isBound(pair)) return
  test("answers the server's questions to the model and to the user", async () => {
    expect((await program().call("sample")).text).toBe("the model said: sampled!")
    expect((await program().call("elicit")).text).toMatch(/^the user said: accept .*Ada/i)
  })
}

const testErrors = ({ program }: Pair): void => {
  test("hears of a tool's own error", async () => {
    // C# and Python 2.x hide what a tool throws, and name the tool
    const text = expect.stringMatching(/it went wrong|fail/)
    expect(await program().call("fail")).toMatchObject({ error: true, text })
  })
  test("hears what is wrong with a call of a hidden tool", async () => {
    const failure = await failureOf(program().call("env"))
    expect(failure).toMatchObject({ rpc: -32602, data: { code: "UnknownTool", help: errorTable.UnknownTool.help } })
    expect(failure.shown).toContain("Unknown tool: env")
  })
}

const testCancellation = (pair: Pair, cancelFile: () => string): void => {
  const { program, client, server } = pair
  const isSeen = client.cancels && server.cancels && isBound(pair)
  test(`gives up a call${isSeen ? ", which the server sees," : ""} and calls on`, async () => {
    if (isSeen) await giveUpSlow(cancelFile(), (signal) => program().call("slow", { seconds: 20 }, { signal }))
    else await giveUp((signal, onProgress) => program().call("progress", { steps: 50 }, { signal, onProgress }))
    expect((await program().call("echo", { message: "still here" })).text).toBe("Echo: still here")
  })
}

const testPair = (stage: () => Stage, name: string, client: Party, server: ServerParty): void => {
  let revision: string
  const program = () => stage().programs.get(client) as ClientProgram
  beforeAll(async () => {
    revision = (await program().connect(urlOf(stage(), name), stage().token, server.silentGet)).revision
  })
  afterAll(async () => {
    await program().close()
  })
  test("agrees on the newest revision that both speak", () => {
    expect(revision).toBe([client.newest, server.newest].sort()[0])
  })
  const pair = { program, client, server }
  testAnswers(pair)
  testErrors(pair)
  testCancellation(pair, () => join(stage().folder, name))
}

/** Gives up a call that is at work. */
const giveUp = async (call: (signal: AbortSignal, onProgress: () => void) => Promise<unknown>): Promise<void> => {
  const leave = new AbortController()
  await expect(call(leave.signal, () => leave.abort())).rejects.toThrow()
}

/** What each client's open call is told when the process with this id is killed, and whether at once. */
const killUnder = async (pid: number, calls: readonly Promise<Failure>[]) => {
  const killed = performance.now()
  process.kill(pid, "SIGKILL")
  return Promise.all(
    calls.map(async (call) => {
      const { message, data } = await call
      return { message, code: data?.code, help: data?.help, isAtOnce: performance.now() - killed < atOnceMs }
    }),
  )
}

/** Begins a call that tells progress for long; resolves when it has told some. */
const begin = async (program: ClientProgram): Promise<{ readonly call: Promise<Failure> }> => {
  const begun = Promise.withResolvers<void>()
  const call = failureOf(program.call("progress", { steps: 2_000 }, { onProgress: begun.resolve }))
  await Promise.race([begun.promise, call])
  return { call }
}

const told = {
  message: expect.stringContaining("The server broke off before it had answered."),
  code: "UpstreamInterrupted",
  help: errorTable.UpstreamInterrupted.help,
  isAtOnce: true,
}

/** Every client has a call open that has told progress when the server is killed. */
const testDeath = (stage: () => Stage, name: string, { silentGet }: ServerParty): void => {
  test.runIf(process.platform === "linux")("tells every client's open call at once when it is killed", async () => {
    const programs = [...stage().programs.values()]
    const connect = (program: ClientProgram) => program.connect(urlOf(stage(), name), stage().token, silentGet)
    await Promise.all(programs.map(connect))
    const open = await Promise.all(programs.map(begin))
    const pid = Number((await programs[0]?.call("pid"))?.text)
    const calls = open.map(({ call }) => call)
    expect(await killUnder(pid, calls)).toEqual(programs.map(() => told))
    await Promise.all(programs.map(connect))
    for (const program of programs) {
      expect((await program.call("echo", { message: "again" })).text).toBe("Echo: again")
      await program.close()
    }
  })
}

/** Every client of {@link clients} with each of these servers, through a gateway whose targets have a tool policy. */
export const testServers = (names: readonly string[]): void => {
  let stage: Stage
  beforeAll(async () => {
    stage = await openStage(names.filter((name) => isThere(servers[name] as ServerParty)))
  })
  afterAll(async () => {
    await closeStage(stage)
  })
  for (const name of names) {
    const server = servers[name] as ServerParty
    for (const client of clients)
      describe.runIf(isThere(server) && isThere(client))(`${client.name} with ${server.name}`, () => {
        testPair(() => stage, name, client, server)
      })
    describe.runIf(isThere(server))(server.name, () => testDeath(() => stage, name, server))
  }
}
