import { readFileSync } from "node:fs"
import { expect, onTestFinished, test } from "vitest"
import { startChild } from "../../src/bridge/process/child.ts"
import { answerTo, bridgeOf, fixture, open, scripted, type TestBridge, textOf } from "../support/bridge.ts"
import { startApart } from "../support/bridge-apart.ts"
import { eventually, type ProcessInfo, processesOfGroup } from "../support/processes.ts"

const parting = fixture("parting")

/** How the first process of a bridge ended, once it has. */
const endOf = async ({ log }: Pick<TestBridge, "log">): Promise<string | undefined> => {
  const line = () => log.find((each) => each.includes("c1: ended"))
  await eventually(() => line() !== undefined, 10_000, "the process has ended")
  return line()
}

/** Kills a process or, by a negative id, a group at the end of the test, unless it has ended. */
const killLater = (pidOf: () => number): void =>
  onTestFinished(() => {
    try {
      process.kill(pidOf(), "SIGKILL")
    } catch {
      // it has ended, as it should
    }
  })

/** Whether a process ignores SIGHUP (proc(5), SigIgn: the bit of signal 1 is the last one). */
const ignoresHangup = ({ pid }: ProcessInfo): boolean => {
  try {
    return /^SigIgn:\s*[\da-f]*[13579bdf]$/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))
  } catch {
    // it has ended: the guard is forked twice
    return false
  }
}

test("a server that ends with its stdin gets no signal", async () => {
  const bridge = await bridgeOf(scripted(), { graceMs: 5_000 })
  await (await open(bridge)).send("DELETE")
  expect(await endOf(bridge)).toContain("ended with exit code 0")
})

test("a server that outlives its stdin can still end by itself after SIGTERM", async () => {
  const bridge = await bridgeOf(parting, { graceMs: 1_000 })
  await (await open(bridge)).send("DELETE")
  expect(await endOf(bridge)).toContain("ended with exit code 7")
})

test("SIGTERM reaches what the server has started too", async () => {
  const bridge = await bridgeOf(parting, { graceMs: 1_000 })
  const session = await open(bridge)
  await textOf(session, "grandchild")
  await session.send("DELETE")
  expect(await endOf(bridge)).toContain("ended with exit code 8")
})

test("a call of a server that ended is answered, though a process of another group holds its pipes", async () => {
  const bridge = await bridgeOf(parting)
  killLater(() => Number(/left (\d+)/.exec(bridge.log.join("\n"))?.[1]))
  const { error } = await answerTo(await open(bridge), "leave")
  expect(error).toMatchObject({ code: -32603, data: { exit_code: 3 } })
}, 15_000)

test("a guard outlives the signals that its server sends to the whole group", async () => {
  const signals = ["HUP", "INT", "QUIT", "TERM", "USR1", "USR2"]
  const bridge = await startApart(["/bin/sh", "-c", `trap '' ${signals.join(" ")}; exec sleep 60`], { guarded: true })
  await eventually(() => bridge.pids().length === 1, 10_000, "the log names its process")
  const pid = Number(bridge.pids()[0])
  killLater(() => -pid)
  const group = () => processesOfGroup(pid)
  // a signal before that would end one of them
  await eventually(() => group().length === 2 && group().every(ignoresHangup), 10_000, "server and guard are ready")
  for (const signal of signals) process.kill(-pid, `SIG${signal}`)
  process.kill(bridge.pid, "SIGKILL")
  await eventually(() => group().length === 0, 5_000, "server and guard have ended")
})

/** Starts a guarded server that signals its group at once, and resolves with how many processes are left then. */
const afterFirstBreath = async (): Promise<number> => {
  const command = ["/bin/sh", "-c", "trap '' TERM; kill -TERM 0; echo ready; exec sleep 60"]
  const ready = Promise.withResolvers<void>()
  const child = startChild(
    { command, environment: { PATH: process.env.PATH }, guarded: true, graceMs: 0 },
    { line: () => ready.resolve(), tooLong: () => {}, stderr: () => {} },
  )
  killLater(() => -(child.pid ?? 0))
  await ready.promise
  const { length } = processesOfGroup(child.pid ?? 0)
  await child.end()
  return length
}

test("a guard outlives even a signal that its server sends with its first breath", async () => {
  // many at once, so that the processor is busy between the start of a guard and that of its server
  for (let round = 0; round < 8; round++) {
    const left = await Promise.all(Array.from({ length: 8 }, afterFirstBreath))
    expect(left).toEqual(Array(8).fill(2))
  }
})

test("a guarded server does not have the guard's pipe", async () => {
  const script = `if [ -e /proc/$$/fd/3 ]; then echo open >&2; else echo closed >&2; fi; exit 9`
  const bridge = await bridgeOf(["/bin/sh", "-c", script], { guarded: true })
  expect(await bridge.failed).toBe(9)
  expect(bridge.log).toContain("[c1] closed")
})

test("a session whose process ended by itself does not stand in the way of a new one", async () => {
  const bridge = await bridgeOf(scripted(), { maxProcesses: 2, evictMs: 0 })
  const [dying, idle] = [await open(bridge), await open(bridge)]
  await answerTo(dying, "die", { code: 3 })
  await textOf(idle, "count")
  await open(bridge)
  // all places are taken, and of those that run the one that is idle longest gives its place
  await open(bridge)
  expect((await idle.post({ jsonrpc: "2.0", id: 1, method: "ping" })).status).toBe(404)
})
