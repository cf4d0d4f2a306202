/** A server process and its group: what is left of it when it has ended. */
import { readlinkSync } from "node:fs"
import { tmpdir } from "node:os"
import { describe, expect, test } from "vitest"
import { type Child, launch } from "../../src/adapters/process/launch.ts"
import { createLogRing } from "../../src/adapters/process/log-ring.ts"
import { systemClock as clock } from "../../src/adapters/system/clock.ts"
import { eventually, processesOfGroup } from "../support/processes.ts"

const start = async (...argv: readonly string[]): Promise<Child> => {
  const variables = { PATH: process.env.PATH ?? "" }
  const child = await launch({ argv, variables, workingDirectory: tmpdir(), log: createLogRing(), clock })
  if ("refused" in child) throw new Error(child.refused)
  return child
}

describe.runIf(process.platform === "linux")("a server process", () => {
  test("has a watcher that holds its output open, so that the output ends only when both have", async () => {
    const child = await start("sleep", "60")
    // it takes the shell's place once the watcher is there
    const isServer = () => processesOfGroup(child.pid).some(({ command }) => command[0] === "sleep")
    await eventually(isServer, 5_000, "the server runs")
    const outputs = processesOfGroup(child.pid).map(({ pid }) => readlinkSync(`/proc/${pid}/fd/1`))
    expect(outputs).toEqual([expect.stringMatching(/^(?:pipe|socket):/), outputs[0]])
    child.signal("SIGKILL")
    await child.exited
  })
  test.each(["SIGTERM", "SIGKILL"] as const)("that has ended by %s has left nothing", async (signal) => {
    for (let turn = 0; turn < 20; turn++) {
      const child = await start("sleep", "60")
      child.signal(signal)
      await child.exited
      expect(processesOfGroup(child.pid)).toEqual([])
    }
  })
})
