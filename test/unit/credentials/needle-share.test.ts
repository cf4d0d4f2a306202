import { describe, expect, test } from "vitest"
import { createNeedleShare } from "../../../src/credentials/needle-share.ts"

const { signal } = new AbortController()
const long = (letter: string): readonly string[] => [Array.from({ length: 500 }, (_, at) => `${letter}${at}`).join("-")]

describe("needles of secret values", () => {
  test("are made once for all who mask the same values at a time, and anew when nobody holds them any more", async () => {
    const share = createNeedleShare()
    const [one, two] = await Promise.all([share.take(long("a"), signal), share.take(long("a"), signal)])
    expect(one.needles).toBe(two.needles)
    one.end()
    one.end()
    expect((await share.take(long("a"), signal)).needles).toBe(two.needles)
    const other = await share.take(long("b"), signal)
    expect(other.needles).not.toBe(two.needles)
  })
  test("are other ones for values that only look alike when they are joined", async () => {
    const share = createNeedleShare()
    const [one, two] = [await share.take(["ab"], signal), await share.take(["a", "b"], signal)]
    expect(one.needles).not.toBe(two.needles)
  })
  test("are refused while others hold too many, but not for short values nor for those that are held", async () => {
    const share = createNeedleShare({ mostBytes: 1 })
    const first = await share.take(long("a"), signal)
    await expect(share.take(long("b"), signal)).rejects.toMatchObject({ code: "TooManyLogs", retryAfterSeconds: 5 })
    await share.take(["short"], signal)
    expect((await share.take(long("a"), signal)).needles).toBe(first.needles)
  })
  test("count for nothing once the last holder is gone", async () => {
    const share = createNeedleShare({ mostBytes: 1 })
    for (const letter of ["a", "b", "c"]) (await share.take(long(letter), signal)).end()
    await share.take(long("d"), signal)
  })
  test("are not waited for by who has gone, and take no memory then", async () => {
    const share = createNeedleShare({ mostBytes: 1 })
    const leave = new AbortController()
    const waiting = share.take(long("a"), leave.signal)
    leave.abort(new Error("gone"))
    await expect(waiting).rejects.toThrow("gone")
    await expect(share.take(long("a"), leave.signal)).rejects.toThrow("gone")
    await share.take(long("b"), signal)
  })
})
