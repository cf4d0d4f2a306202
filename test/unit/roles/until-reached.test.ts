import { expect, test } from "vitest"
import { AppError, type ErrorCode } from "../../../src/errors.ts"
import { untilReached } from "../../../src/roles/role.ts"
import { fakeClock } from "../../support/fake-clock.ts"
import { quietTelemetry } from "../../support/quiet-telemetry.ts"

const setUp = (codes: readonly ErrorCode[]) => {
  const clock = fakeClock()
  const { log, lines } = quietTelemetry()
  const stop = new AbortController()
  const times: number[] = []
  const call = async (): Promise<string> => {
    const code = codes[times.length]
    times.push(clock.now())
    if (code !== undefined) throw new AppError(code, { detail: "away" })
    return "there"
  }
  const result = untilReached({ clock, log, signal: stop.signal }, "the keys", call)
  result.catch(() => {})
  return { clock, lines, stop, times, result }
}

test("a call is repeated while the API server is away or refuses, at most 2 s apart, and each failure is logged", async () => {
  const codes = new Array<ErrorCode>(10)
    .fill("ClusterUnavailable")
    .concat("ApiForbidden", "ApiNotFound", "QuotaExceeded")
  const { clock, lines, times, result } = setUp(codes)
  await clock.advance(60_000)
  expect(await result).toBe("there")
  expect(lines).toHaveLength(codes.length)
  expect(lines[0]).toMatchObject({ level: "warn", fields: { what: "the keys" } })
  const waits = times.slice(1).map((time, index) => time - (times[index] ?? 0))
  expect(waits.slice(0, 5)).toEqual([500, 1_000, 2_000, 2_000, 2_000])
  expect(Math.max(...waits)).toBe(2_000)
})

test("an error that waiting cannot end is thrown at once", async () => {
  const { result, times } = setUp(["ConfigInvalid"])
  await expect(result).rejects.toMatchObject({ code: "ConfigInvalid" })
  expect(times).toHaveLength(1)
})

test("closing ends the waiting", async () => {
  const { clock, stop, result } = setUp(new Array<ErrorCode>(100).fill("ClusterUnavailable"))
  await clock.advance(10_000)
  stop.abort(new Error("closed"))
  await expect(result).rejects.toThrow("closed")
  expect(clock.pending).toBe(0)
})
