import { findCondition } from "../../api/kinds/kind.ts"
import type { MCPInstance } from "../../api/kinds/mcp-instance.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { Change, Reflection } from "../../ports/cluster.ts"
import type { Logger } from "../../ports/telemetry.ts"

/** Where lines for people go. */
export type Terminal = {
  /** True on a terminal: there, progress is one line that changes. */
  readonly isInteractive: boolean
  /** Writes a line (with its newline) above the progress. */
  line(text: string): void
  /** Shows `text` as the progress, in place of the one before; empty takes it away. Nothing happens elsewhere than on a terminal. */
  progress(text: string): void
}

/** The part of a stream that is needed. */
export type Output = { readonly isTTY?: boolean; readonly columns?: number; write(text: string): unknown }

/** To the beginning of the line, and empty to its end (ECMA-48 EL). */
const clear = "\r\u001b[K"

/** One stream for log lines and progress, so that neither garbles the other. */
export const createTerminal = (output: Output): Terminal => {
  const isInteractive = output.isTTY === true
  let shown = ""
  const cut = (text: string) => text.slice(0, Math.max((output.columns || 80) - 1, 20))
  return {
    isInteractive,
    line: (text) => {
      output.write(shown === "" ? text : `${clear}${text}${shown}`)
    },
    progress: (text) => {
      if (!isInteractive || (text === "" && shown === "")) return
      shown = cut(text)
      output.write(`${clear}${shown}`)
    },
  }
}

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

/** What a person wants to know of an instance that does not start. */
const reasonOf = ({ status }: MCPInstance): { readonly reason?: string; readonly message?: string } => {
  if (status?.phase !== "Failed") return {}
  const ready = findCondition(status.conditions, "Ready")
  return ready === undefined ? {} : { reason: ready.reason, message: ready.message }
}

const isStarting = (phase: string): boolean => phase === "Queued" || phase === "Pending" || phase === "Starting"

/**
 * Tells how instances start and end: on a terminal the starts are one line that changes, elsewhere each phase is a log
 * line. The returned function ends it.
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
  const tell = (instance: MCPInstance, phase: string, start: Start): void => {
    const { name } = instance.metadata
    const { reason, message } = reasonOf(instance)
    if (!terminal.isInteractive)
      log.info("instance", { instance: name, phase, seconds: (clock.now() - start.since) / 1000, reason, message })
    else if (!isStarting(phase))
      terminal.line(`${[text(name, start, clock.now()), reason, message].filter((part) => part).join("  ")}\n`)
  }
  const follow = ({ type, object, previous }: Change<MCPInstance>): void => {
    const phase = type === "deleted" ? "Gone" : object.status?.phase
    if (phase === undefined || (type !== "deleted" && phase === previous?.status?.phase)) return
    const { name } = object.metadata
    const before = starts.get(name) ?? { since: clock.now(), phases: [] }
    const start = { ...before, phases: [...before.phases, phase] }
    if (isStarting(phase)) starts.set(name, start)
    else starts.delete(name)
    draw()
    tell(object, phase, start)
  }

  const unsubscribe = instances.subscribe(follow)
  return () => {
    unsubscribe()
    cancelTick?.()
    starts.clear()
    terminal.progress("")
  }
}
