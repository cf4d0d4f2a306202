import { expect, test } from "vitest"
import type { MCPInstance, Phase } from "../../../../src/api/kinds/mcp-instance.ts"
import type { Change, Reflection } from "../../../../src/ports/cluster.ts"
import { showProgress } from "../../../../src/roles/dev/progress.ts"
import { createTerminal } from "../../../../src/roles/terminal.ts"
import { fakeClock } from "../../../support/fake-clock.ts"
import { quietTelemetry } from "../../../support/quiet-telemetry.ts"

const instance = (name: string, phase: Phase | undefined, message = "", reason = "CrashLoop"): MCPInstance => ({
  apiVersion: "mcp.reflow.io/v1alpha1",
  kind: "MCPInstance",
  metadata: { name },
  spec: { image: "a", port: 1, targetName: "a", subjectKey: "shared" },
  ...(phase === undefined
    ? {}
    : {
        status: {
          phase,
          conditions: [{ type: "Ready", status: "False", reason, message, lastTransitionTime: "" }],
        },
      }),
})

/** Shows the phases of one instance after another, half a second each. */
const show = async (isTTY: boolean, phases: readonly (Phase | "Installing" | "Gone")[], message = "") => {
  const listeners = new Set<(change: Change<MCPInstance>) => void>()
  const telemetry = quietTelemetry()
  const clock = fakeClock()
  let screen = ""
  const stop = showProgress({
    instances: {
      subscribe: (listener: (change: Change<MCPInstance>) => void) => {
        listeners.add(listener)
        return () => listeners.delete(listener)
      },
    } as unknown as Reflection<MCPInstance>,
    clock,
    terminal: createTerminal({ isTTY, columns: 200, write: (text) => (screen += text) }),
    log: telemetry.log,
  })
  let previous = instance("notes-user-a", undefined)
  for (const phase of phases) {
    const object =
      phase === "Gone"
        ? previous
        : phase === "Installing"
          ? instance("notes-user-a", "Starting", message, phase)
          : instance("notes-user-a", phase, message)
    for (const listener of listeners) listener({ type: phase === "Gone" ? "deleted" : "modified", object, previous })
    previous = object
    await clock.advance(500)
  }
  stop()
  return { screen, lines: telemetry.lines, pending: clock.pending, listeners: listeners.size }
}

test("on a terminal a start is one changing line, then one line that stays", async () => {
  const { screen, lines, pending, listeners } = await show(true, ["Pending", "Starting", "Ready"])
  expect(screen).toContain("notes-user-a  Pending  0.4 s")
  expect(screen).toMatch(/notes-user-a {2}Pending → Starting → Ready {2}1\.0 s\n$/)
  expect(lines).toEqual([])
  expect([pending, listeners]).toEqual([0, 0])
})

test("a package that is being installed is told as a step of the start", async () => {
  const steps = ["Pending", "Starting", "Installing", "Installing", "Starting", "Ready"] as const
  const { screen } = await show(true, steps)
  expect(screen).toContain("notes-user-a  Pending → Installing  1.4 s")
  expect(screen).toMatch(/Pending → Installing → Starting → Ready {2}2\.5 s\n$/)
  const elsewhere = await show(false, steps)
  expect(elsewhere.lines.map(({ fields }) => fields.phase)).toEqual([
    "Pending",
    "Starting",
    "Installing",
    "Starting",
    "Ready",
  ])
})

test("elsewhere each phase is a log line", async () => {
  const { screen, lines } = await show(false, ["Pending", "Pending", "Ready", "Gone"])
  expect(screen).toBe("")
  expect(lines.map(({ message, fields }) => [message, fields.phase, fields.seconds])).toEqual([
    ["instance", "Pending", 0],
    ["instance", "Ready", 1],
    ["instance", "Gone", 0],
  ])
})

test("a start that fails tells why", async () => {
  const terminal = await show(true, ["Starting", "Failed"], "exit code 3")
  expect(terminal.screen).toContain("Starting → Failed  0.5 s  CrashLoop  exit code 3\n")
  const elsewhere = await show(false, ["Starting", "Failed"], "exit code 3")
  expect(elsewhere.lines.at(-1)?.fields).toMatchObject({ reason: "CrashLoop", message: "exit code 3" })
})
