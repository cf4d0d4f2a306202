import { findCondition } from "../../api/kinds/kind.ts"
import type { MCPInstance } from "../../api/kinds/mcp-instance.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { Change, Reflection } from "../../ports/cluster.ts"
import type { Logger } from "../../ports/telemetry.ts"
import type { Terminal } from "../terminal.ts"

/** An instance that is starting: since when (clock time, milliseconds), and its phases so far. */
type Start = { readonly since: number; readonly phases: readonly string[] }

type Deps = {
  readonly instances: Reflection<MCPInstance>
  readonly clock: ClockPort
  readonly terminal: Terminal
  readonly log: Logger
}

/** How often the elapsed time on a terminal is updated, in milliseconds. */
const tickMs = 200

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`

const text = (name: string, start: Start, now: number): string =>
  `${name}  ${start.phases.join(" → ")}  ${seconds(now - start.since)}`

/** Reason and message of an instance that has failed; empty for other phases. */
const reasonOf = ({ status }: MCPInstance): { readonly reason?: string; readonly message?: string } => {
  if (status?.phase !== "Failed") return {}
  const ready = findCondition(status.conditions, "Ready")
  return ready === undefined ? {} : { reason: ready.reason, message: ready.message }
}

/** What an instance does: its phase, or that its package is being installed, which may take longer than all the rest. */
const stepOf = ({ status }: MCPInstance): string | undefined =>
  status?.phase === "Starting" && findCondition(status.conditions, "Ready")?.reason === "Installing"
    ? "Installing"
    : status?.phase

const starting = new Set(["Queued", "Pending", "Starting", "Installing"])

const isStarting = (step: string): boolean => starting.has(step)

/**
 * Shows how instances start and end: on a terminal as one progress line for all starts, elsewhere as a log line for
 * each phase. The returned function stops it.
 */
export const showProgress = ({ instances, clock, terminal, log }: Deps): (() => void) => {
  const starts = new Map<string, Start>()
  let cancelTick: (() => void) | undefined

  const draw = (): void => {
    cancelTick?.()
    const lines = [...starts].map(([name, start]) => text(name, start, clock.now()))
    terminal.progress(lines.join("   "))
    cancelTick = terminal.isInteractive && lines.length > 0 ? clock.timer(tickMs, draw) : undefined
  }
  const show = (instance: MCPInstance, phase: string, start: Start): void => {
    const { name } = instance.metadata
    const { reason, message } = reasonOf(instance)
    if (!terminal.isInteractive)
      log.info("instance", { instance: name, phase, seconds: (clock.now() - start.since) / 1000, reason, message })
    else if (!isStarting(phase))
      terminal.line(`${[text(name, start, clock.now()), reason, message].filter((part) => part).join("  ")}\n`)
  }
  const follow = ({ type, object, previous }: Change<MCPInstance>): void => {
    const phase = type === "deleted" ? "Gone" : stepOf(object)
    if (phase === undefined || (type !== "deleted" && previous !== undefined && phase === stepOf(previous))) return
    const { name } = object.metadata
    const before = starts.get(name) ?? { since: clock.now(), phases: [] }
    // what is being installed has begun to start, which the step says by itself
    const earlier = phase === "Installing" ? before.phases.filter((each) => each !== "Starting") : before.phases
    const start = { ...before, phases: [...earlier, phase] }
    if (isStarting(phase)) starts.set(name, start)
    else starts.delete(name)
    draw()
    show(object, phase, start)
  }

  const unsubscribe = instances.subscribe(follow)
  return () => {
    unsubscribe()
    cancelTick?.()
    starts.clear()
    terminal.progress("")
  }
}
