import { expect, test } from "vitest"
import { afterRestart, type Backoff, restartDelay } from "../../../../src/adapters/process/container-run.ts"

/** Delays of containers that run for `uptimeMs` each, in seconds. */
const delays = (lives: number, uptimeMs: number): number[] => {
  let backoff: Backoff | undefined
  let now = 0
  return Array.from({ length: lives }, () => {
    const endedAt = now + uptimeMs
    const delay = restartDelay(backoff, endedAt)
    now = endedAt + delay
    backoff = afterRestart(backoff, endedAt, now)
    return delay / 1000
  })
}

test("the first restart is immediate; the next ones wait 10 s, doubled up to 5 minutes", () => {
  expect(delays(8, 100)).toEqual([0, 10, 20, 40, 80, 160, 300, 300])
})

test("a container that ran for more than 10 minutes begins anew", () => {
  expect(delays(3, 599_000)).toEqual([0, 10, 20])
  expect(delays(3, 601_000)).toEqual([0, 0, 0])
})
