import { describe, expect, test } from "vitest"
import { createPools } from "../../../../src/gateway/wire/pools.ts"
import { fakeClock } from "../../../support/fake-clock.ts"

const start = () => {
  const log: string[] = []
  const clock = fakeClock()
  let count = 0
  const pools = createPools(({ origin }) => {
    const name = `${origin}#${++count}`
    log.push(`open ${name}`)
    return {
      name,
      close: async () => void log.push(`close ${name}`),
      destroy: async () => void log.push(`destroy ${name}`),
    }
  }, clock)
  const lease = (incarnation: string, over = {}) =>
    pools.lease({ instance: "i", incarnation, origin: "a", lane: "call", ...over })
  return { log, clock, pools, lease }
}

describe("connection pools", () => {
  test("are one for each incarnation, address and lane", () => {
    const { log, lease } = start()
    lease("1")
    lease("1")
    lease("1", { origin: "b" })
    lease("1", { lane: "stream" })
    lease("1", { instance: "j" })
    expect(log).toEqual(["open a#1", "open b#2", "open a#3", "open a#4"])
  })

  test("close when the next incarnation appears", () => {
    const { log, lease } = start()
    lease("1")
    lease("1", { origin: "b" })
    lease("2")
    expect(log.slice(2)).toEqual(["close a#1", "close b#2", "open a#3"])
  })

  test("close after a minute without use, but not while a request is open", async () => {
    const { log, lease, clock } = start()
    const { release } = lease("1")
    await clock.advance(600_000)
    expect(log).toEqual(["open a#1"])
    release()
    await clock.advance(59_000)
    expect(log).toEqual(["open a#1"])
    await clock.advance(60_000)
    expect(log).toEqual(["open a#1", "close a#1"])
    expect(clock.pending).toBe(0)
  })

  test("end with the gateway", async () => {
    const { log, lease, clock, pools } = start()
    lease("1")
    await pools.close()
    expect(log).toEqual(["open a#1", "destroy a#1"])
    expect(clock.pending).toBe(0)
  })
})
