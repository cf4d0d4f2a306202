import { spawn } from "node:child_process"
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, test } from "vitest"
import { hasCode } from "../../../../src/errors.ts"
import { lockState, startOf } from "../../../../src/roles/dev/lock.ts"

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "reflow-lock-"))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const refusal = async (): Promise<string> => {
  const outcome = await lockState(folder).catch((error) => error)
  return hasCode(outcome, "StateInUse") ? outcome.message : `no refusal: ${outcome}`
}

/** Leaves a lock as a process of this id would. */
const leave = (pid: number, text: string): void => writeFileSync(join(folder, `dev-lock.${pid}.0123abcd`), text)

/** A process that runs for a while. */
const sleeper = async () => {
  const child = spawn(process.execPath, ["-e", "console.log('up'); setInterval(() => {}, 1000)"])
  await new Promise((up) => child.stdout.once("data", up))
  const ended = new Promise((done) => child.once("exit", done))
  return {
    pid: child.pid ?? 0,
    kill: async () => {
      child.kill("SIGKILL")
      await ended
    },
  }
}

test("a folder is one program's until that gives it back, and nothing of the lock is left", async () => {
  const unlock = await lockState(folder)
  expect(await refusal()).toContain(`process ${process.pid}`)
  await unlock()
  await (await lockState(folder))()
  expect(readdirSync(folder)).toEqual([])
})

test("of many that begin at once at most one gets it", async () => {
  const outcomes = await Promise.allSettled(Array.from({ length: 10 }, () => lockState(folder)))
  const held = outcomes.filter(({ status }) => status === "fulfilled")
  expect(held.length).toBeLessThanOrEqual(1)
  expect(readdirSync(folder)).toHaveLength(held.length)
})

test("the lock of a process that runs holds, and that of a killed one does not", async () => {
  const other = await sleeper()
  leave(other.pid, JSON.stringify({ start: startOf(other.pid) }))
  expect(await refusal()).toContain(`process ${other.pid}`)
  await other.kill()
  await (await lockState(folder))()
  expect(readdirSync(folder)).toEqual([])
})

test("the lock of a dead process whose id another one has got does not hold", async () => {
  expect(startOf(process.pid)).toMatch(/\d/)
  leave(process.pid, JSON.stringify({ start: "another boot 1" }))
  await (await lockState(folder))()
  expect(readdirSync(folder)).toEqual([])
})

test("a lock that cannot be read holds as long as there is a process of its id", async () => {
  const other = await sleeper()
  leave(other.pid, '{"sta')
  expect(await refusal()).toContain(`process ${other.pid}`)
  await other.kill()
  await (await lockState(folder))()
})

test("other files of the folder are left alone", async () => {
  const names = ["dev-lock.old", "dev-lock.1.x", "dev-token-key"]
  for (const name of names) writeFileSync(join(folder, name), "")
  await (await lockState(folder))()
  expect(readdirSync(folder).sort()).toEqual(names.sort())
})
