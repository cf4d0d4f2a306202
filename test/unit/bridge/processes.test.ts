import { expect, onTestFinished, test } from "vitest"
import { createBridgeLog } from "../../../src/bridge/log.ts"
import { type Holder, Processes } from "../../../src/bridge/processes.ts"
import { AppError } from "../../../src/errors.ts"

const nothing = { request: () => {}, notification: () => {} }

/** Processes of which one may run, which ends by SIGTERM only. */
const createProcesses = () => {
  const log: string[] = []
  const processes = new Processes({
    ...{ command: ["sleep", "60"], environment: process.env, guarded: false, graceMs: 100, most: 1, idleMs: 0 },
    log: createBridgeLog((text) => void log.push(text)),
  })
  onTestFinished(() => processes.close())
  /** Starts a process whose holder is idle. */
  const holdOne = async () => {
    const { child } = await processes.take(nothing)
    const holder: Holder = { idleSince: 0, end: () => child.end() }
    processes.hold(holder)
    return child
  }
  return { processes, holdOne, started: () => log.filter((line) => line.includes("started")).length }
}

test("somebody who waits for a place gets one when an idle process has ended", async () => {
  const { processes, holdOne, started } = createProcesses()
  const first = await holdOne()
  const { child } = await processes.take(nothing)
  expect(child.pid).not.toBe(first.pid)
  expect(await first.ended).toMatchObject({ signal: "SIGTERM" })
  expect([processes.alive, started()]).toEqual([1, 2])
})

test("somebody who waits for a place when the bridge ends gets none, and no process is left", async () => {
  const { processes, holdOne, started } = createProcesses()
  await holdOne()
  const waiting = processes.take(nothing)
  const refused = expect(waiting).rejects.toMatchObject({ code: "ProcessesExhausted" })
  await processes.close()
  await refused
  expect([processes.alive, started()]).toEqual([0, 1])
})

test("nobody gets a process of a bridge that has ended", async () => {
  const { processes, started } = createProcesses()
  await processes.close()
  await expect(processes.take(nothing)).rejects.toMatchObject({ code: "ProcessesExhausted" })
  expect(started()).toBe(0)
})

test("of several who wait for the same place one gets it", async () => {
  const { processes, holdOne } = createProcesses()
  await holdOne()
  const taken = await Promise.allSettled([processes.take(nothing), processes.take(nothing)])
  expect(taken.map(({ status }) => status)).toEqual(["fulfilled", "rejected"])
  expect(processes.alive).toBe(1)
})

test("a process that was prepared is handed to one, and to nobody once it has ended", async () => {
  const first = createProcesses()
  const prepared = first.processes.prepare()
  expect(first.processes.isSpare(prepared)).toBe(true)
  expect((await first.processes.take(nothing)).child).toBe(prepared)
  expect(first.processes.isSpare(prepared)).toBe(false)
  const { processes } = createProcesses()
  const ended = processes.prepare()
  await ended.end()
  expect((await processes.take(nothing)).child.pid).not.toBe(ended.pid)
})

test("once nobody may get a process, everybody hears why", async () => {
  const { processes, started } = createProcesses()
  processes.prepare()
  processes.refuse(new AppError("ServerProcessEnded", { detail: "It ended." }))
  await expect(processes.take(nothing)).rejects.toMatchObject({ code: "ServerProcessEnded" })
  expect(started()).toBe(1)
})
