import { describe, expect, test } from "vitest"
import { createNeedleShare } from "../../../src/credentials/needle-share.ts"
import { makeNeedles } from "../../../src/credentials/needles.ts"

const { signal } = new AbortController()
const long = (letter: string): readonly string[] => [Array.from({ length: 500 }, (_, at) => `${letter}${at}`).join("-")]

describe("needles of secret values", () => {
  test("are made once for all who mask the same values at a time, and anew when nobody holds them any more", async () => {
    const share = createNeedleShare()
    const [one, two] = await Promise.all([
      share.take("alice", long("a"), signal),
      share.take("alice", long("a"), signal),
    ])
    expect(one.needles).toBe(two.needles)
    one.end()
    one.end()
    expect((await share.take("alice", long("a"), signal)).needles).toBe(two.needles)
    const other = await share.take("alice", long("b"), signal)
    expect(other.needles).not.toBe(two.needles)
  })
  test("are other ones for values that only look alike when they are joined", async () => {
    const share = createNeedleShare()
    const [one, two] = [await share.take("alice", ["ab"], signal), await share.take("alice", ["a", "b"], signal)]
    expect(one.needles).not.toBe(two.needles)
  })
  test("are refused beyond their owner's share, but not for short values, for those that are held, nor for others", async () => {
    const { bytes } = await makeNeedles(long("a"))
    const share = createNeedleShare({ mostBytes: 5 * bytes })
    const first = await share.take("alice", long("a"), signal)
    await expect(share.take("alice", long("b"), signal)).rejects.toMatchObject({
      code: "TooManyLogs",
      retryAfterSeconds: 5,
    })
    await share.take("alice", ["short"], signal)
    expect((await share.take("alice", long("a"), signal)).needles).toBe(first.needles)
    await share.take("bob", long("b"), signal)
  })
  test("have so many readers at a time, a quarter of one owner, however short the values are", async () => {
    const share = createNeedleShare({ mostLogs: 8 })
    const take = (owner: string) => share.take(owner, ["short"], signal)
    const [first] = [await take("alice"), await take("alice")]
    await expect(take("alice")).rejects.toMatchObject({ code: "TooManyLogs", retryAfterSeconds: 5 })
    await take("bob")
    first.end()
    first.end()
    await take("alice")
    await expect(take("alice")).rejects.toMatchObject({ code: "TooManyLogs" })
  })
  test("count for nothing once the last holder is gone", async () => {
    const share = createNeedleShare({ mostBytes: 4 * (await makeNeedles(long("a"))).bytes })
    for (const letter of ["a", "b", "c"]) (await share.take("alice", long(letter), signal)).end()
    await share.take("alice", long("d"), signal)
  })
  test("are not waited for by who has gone, and take no memory then", async () => {
    const share = createNeedleShare({ mostBytes: 4 * (await makeNeedles(long("a"))).bytes })
    const leave = new AbortController()
    const waiting = share.take("alice", long("a"), leave.signal)
    leave.abort(new Error("gone"))
    await expect(waiting).rejects.toThrow("gone")
    await expect(share.take("alice", long("a"), leave.signal)).rejects.toThrow("gone")
    await share.take("alice", long("b"), signal)
  })
})
