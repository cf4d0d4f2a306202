import { afterEach, describe, expect, test } from "vitest"
import { AppError } from "../../../../src/errors.ts"
import { closeWorlds, tokenOf, withToken, world } from "../../../support/remote-world.ts"

const minute = 60_000
const signal = new AbortController().signal
const away = new AppError("ClusterUnavailable", { detail: "The API server does not answer." })
afterEach(closeWorlds)

describe("while the API server does not answer", () => {
  test("values live up to an hour", async () => {
    const { place, replica, set, clock } = await world(withToken)
    await set({ subject: "alice" }, { TOKEN: "a-1" })
    const one = replica()
    await place(one)
    one.fault = away
    for (let passed = 0; passed < 59; passed += 4) {
      expect(tokenOf(await place(one)), `after ${passed} minutes`).toBe("Bearer a-1")
      await clock.advance(4 * minute)
    }
    await clock.advance(5 * minute)
    await expect(place(one)).rejects.toMatchObject({ code: "ClusterUnavailable" })
    one.fault = undefined
    await clock.advance(5_000)
    expect(tokenOf(await place(one))).toBe("Bearer a-1")
  })

  test("values that nobody has used for minutes live too, without a wait, if nothing is heard of it", async () => {
    const { place, replica, set, clock } = await world(withToken)
    await set({ subject: "alice" }, { TOKEN: "a-1" })
    const one = replica()
    await place(one)
    one.fault = away
    one.silence = 76_000
    await clock.advance(30 * minute)
    one.hold = new Promise(() => {})
    expect(tokenOf(await place(one))).toBe("Bearer a-1")
  })

  test("values that have changed meanwhile are not used", async () => {
    const { place, replica, set, clock } = await world(withToken)
    await set({ subject: "alice" }, { TOKEN: "a-1" })
    const one = replica()
    await place(one)
    await clock.advance(5 * minute)
    const held = Promise.withResolvers<void>()
    Object.assign(one, { hold: held.promise, fault: away })
    const placed = place(one)
    placed.catch(() => {})
    await clock.advance(0)
    await set({ subject: "alice" }, { TOKEN: "a-2" })
    held.resolve()
    await expect(placed).rejects.toMatchObject({ code: "ClusterUnavailable" })
  })

  test("questions about credentials are not asked for each request", async () => {
    const { place, replica, set, clock } = await world(withToken)
    await set({ subject: "alice" }, { TOKEN: "a-1" })
    const one = replica()
    const placement = await place(one)
    await clock.advance(10_000)
    one.fault = away
    const questions = [one.placement.renew, one.placement.currentIncarnation]
    const ask = async () => {
      for (const question of questions) {
        const asked = question(placement, signal)
        asked.catch(() => {})
        await clock.advance(0)
        await expect(asked).rejects.toMatchObject({ code: "ClusterUnavailable" })
      }
    }
    await ask()
    const reads = one.reads.length
    for (let turn = 0; turn < 10; turn++) await ask()
    expect(one.reads.length).toBe(reads)
  })

  test("no session ends because of it", async () => {
    const { place, replica, set, clock } = await world(withToken)
    await set({ subject: "alice" }, { TOKEN: "a-1" })
    const one = replica()
    const placement = await place(one)
    one.fault = away
    await clock.advance(1_000)
    const current = one.placement.currentIncarnation(placement, signal)
    current.catch(() => {})
    await clock.advance(0)
    await expect(current).rejects.toMatchObject({ code: "ClusterUnavailable" })
  })
})
