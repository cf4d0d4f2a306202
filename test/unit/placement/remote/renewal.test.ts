import { afterEach, describe, expect, test } from "vitest"
import { closeWorlds, tokenOf, withToken, world } from "../../../support/remote-world.ts"

const signal = new AbortController().signal
afterEach(closeWorlds)

test("a question about credentials ends after two seconds, if the API server is silent", async () => {
  const given = await world(withToken)
  await given.set({ subject: "alice" }, { TOKEN: "a-1" })
  const one = given.replica()
  const placement = await given.place(one)
  await given.clock.advance(1_000)
  one.hold = new Promise(() => {})
  const [renewed, current] = [
    one.placement.renew(placement, signal),
    one.placement.currentIncarnation(placement, signal),
  ]
  for (const each of [renewed, current]) each.catch(() => {})
  await given.clock.advance(2_000)
  for (const each of [renewed, current]) await expect(each).rejects.toMatchObject({ code: "ClusterUnavailable" })
  // what is known well enough needs no question
  expect(await one.placement.currentIncarnation(placement, signal, 5_000)).toBe(placement.incarnation)
})

describe("after the server has refused the credentials", () => {
  test("they are read once more; another value is worth another try, the same one is not", async () => {
    const { place, replica, set, write, clock } = await world(withToken)
    await set({ subject: "alice" }, { TOKEN: "a-1" })
    const one = replica()
    const before = await place(one)
    await clock.advance(1_000)
    const renewed = one.placement.renew(before, signal)
    await clock.advance(0)
    expect(await renewed).toBe(false)
    await write({ subject: "alice" }, { TOKEN: "a-2" })
    await clock.advance(1_000)
    const again = one.placement.renew(before, signal)
    await clock.advance(0)
    expect(await again).toBe(true)
    expect(tokenOf(await place(one))).toBe("Bearer a-2")
  })

  test("they are not read again if that was done a moment ago", async () => {
    const { place, replica, set } = await world(withToken)
    await set({ subject: "alice" }, { TOKEN: "a-1" })
    const one = replica()
    const before = await place(one)
    const reads = one.reads.length
    expect(await one.placement.renew(before, signal)).toBe(false)
    expect(one.reads.length).toBe(reads)
  })

  test("a newer value that is known already is worth another try at once", async () => {
    const { place, replica, set } = await world(withToken)
    await set({ subject: "alice" }, { TOKEN: "a-1" })
    const one = replica()
    const before = await place(one)
    await set({ subject: "alice" }, { TOKEN: "a-2" })
    await place(one)
    expect(await one.placement.renew(before, signal)).toBe(true)
  })

  test("the error names them and where to set them, never a value", async () => {
    const { place, replica, set } = await world(withToken)
    await set({ subject: "alice" }, { TOKEN: "geheim" })
    const { remote } = await place(replica())
    const error = remote?.rejected(401)
    expect(error).toMatchObject({
      code: "UpstreamLoginRejected",
      data: {
        names: ["TOKEN", "REGION"],
        upstream_status: 401,
        url: "https://gateway.example.com/api/targets/example/env/me",
      },
    })
    expect(error?.message).toContain("answered 401 to the credentials TOKEN, REGION")
    expect(remote?.rejected(403).message).toContain("lacks a permission")
    expect(`${error?.message} ${JSON.stringify(error?.data)}`).not.toContain("geheim")
  })
})
