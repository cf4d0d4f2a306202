import { findCondition } from "../api/condition.ts"
import type { MCPInstance } from "../api/mcp-instance.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { Change, Reflection } from "../ports/cluster.ts"
import type { Logger } from "../ports/telemetry.ts"
import type { Terminal } from "./terminal.ts"

/** One instance on its way to Ready. */
type Start = { readonly since: number; readonly phases: readonly string[] }

type Deps = {
  readonly instances: Reflection<MCPInstance>
  readonly clock: ClockPort
  readonly terminal: Terminal
  readonly log: Logger
}

/** How often the running time on a terminal is renewed. */
const tickMs = 200

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`

const text = (name: string, start: Start, now: number): string =>
  `${name}  ${start.phases.join(" → ")}  ${seconds(now - start.since)}`

const isEnd = (phase: string): boolean => phase === "Ready" || phase === "Failed"

/**
 * Tells how instances start: on a terminal as one line that changes, elsewhere as a log line per phase. The returned
 * function ends it.
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
  const note = (instance: MCPInstance, phase: string): void => {
    const { name } = instance.metadata
    const before = starts.get(name) ?? { since: clock.now(), phases: [] }
    const start = { ...before, phases: [...before.phases, phase] }
    if (isEnd(phase)) starts.delete(name)
    else starts.set(name, start)
    const ready = findCondition(instance.status?.conditions, "Ready")
    const reason = phase === "Failed" ? { reason: ready?.reason, message: ready?.message } : {}
    if (!terminal.isInteractive)
      log.info("instance", { instance: name, phase, seconds: (clock.now() - start.since) / 1000, ...reason })
    else if (isEnd(phase))
      terminal.line(`${text(name, start, clock.now())}${reason.message === undefined ? "" : `  ${reason.message}`}\n`)
    draw()
  }
  const follow = ({ type, object, previous }: Change<MCPInstance>): void => {
    if (type === "deleted") {
      starts.delete(object.metadata.name)
      if (!terminal.isInteractive) log.info("instance", { instance: object.metadata.name, phase: "Gone" })
      return draw()
    }
    const phase = object.status?.phase
    if (phase !== undefined && phase !== previous?.status?.phase) note(object, phase)
  }

  const unsubscribe = instances.subscribe(follow)
  return () => {
    unsubscribe()
    cancelTick?.()
    starts.clear()
    terminal.progress("")
  }
}
