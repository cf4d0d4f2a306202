import { setTimeout as sleep } from "node:timers/promises"
import type { RoleProcess } from "../kubernetes/support/role.ts"
import { countWrites } from "../kubernetes/support/writes.ts"
import { type ProcessUsage, readUsage } from "../support/process-usage.ts"

/** What one operator had used when it was killed. */
export type Life = ProcessUsage & {
  /** Writes to the API server; Leases left out. */
  readonly writes: number
  /** Seconds from its start until it led: it waits for the lease of the one that was killed. */
  readonly ledAfter: number
}

/** Operators one after the other: each is killed (SIGKILL) at the end of its life, and the next one started at once. */
export type OperatorLives = {
  /** The lives that have ended. */
  readonly lives: readonly Life[]
  /** The operator that lives now. */
  current(): RoleProcess
  /** Kills no more. Resolves with the one that lives, which leads. */
  stop(): Promise<RoleProcess>
}

/** Starts the first operator and waits until it leads; `seconds` is how long each of them lives. */
export const startLives = async (start: () => RoleProcess, seconds: number): Promise<OperatorLives> => {
  const lives: Life[] = []
  const ending = new AbortController()
  let operator = start()
  let since = performance.now()

  const lead = async (): Promise<number> => {
    await operator.line("leading", 60_000)
    return (performance.now() - since) / 1000
  }
  const next = async (ledAfter: number): Promise<void> => {
    const usage = await readUsage(operator.process.pid ?? 0)
    lives.push({ ...usage, ledAfter, writes: await countWrites(operator) })
    operator.process.kill("SIGKILL")
    await operator.ended
    since = performance.now()
    operator = start()
  }
  const run = async (first: number): Promise<void> => {
    for (let ledAfter = first; !ending.signal.aborted; ledAfter = await lead()) {
      const left = seconds * 1000 - (performance.now() - since)
      await sleep(Math.max(left, 0), undefined, { signal: ending.signal }).catch(() => {})
      if (!ending.signal.aborted) await next(ledAfter)
    }
  }
  const running = run(await lead())
  running.catch(() => {})
  return {
    lives,
    current: () => operator,
    stop: async () => {
      ending.abort()
      await running
      await lead()
      return operator
    },
  }
}
