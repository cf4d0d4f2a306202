import { afterEach, describe, expect, test } from "vitest"
import { AppError } from "../../../../src/errors.ts"
import { closeWorlds, headersOf, tokenOf, type World, withToken, world } from "../../../support/remote-world.ts"

const minute = 60_000
const signal = new AbortController().signal
afterEach(closeWorlds)

describe("composed values", () => {
  test("are read once for calls of the next minutes, which then wait for nothing", async () => {
    const { place, replica, set, clock } = await world(withToken)
    await set({ subject: "alice" }, { TOKEN: "a-1" })
    const one = replica()
    await place(one)
    const reads = one.reads.length
    await clock.advance(3 * minute)
    await place(one)
    expect(one.reads.length).toBe(reads)
  })

  test("are read in the background from the fourth minute on, while the old ones are used", async () => {
    const { place, replica, set, write, clock } = await world(withToken)
    await set({ subject: "alice" }, { TOKEN: "a-1" })
    const one = replica()
    await place(one)
    await write({ subject: "alice" }, { TOKEN: "a-2" })
    await clock.advance(4 * minute)
    expect(tokenOf(await place(one))).toBe("Bearer a-1")
    expect(tokenOf(await place(one))).toBe("Bearer a-2")
  })

  test("are not used after five minutes without a new reading", async () => {
    const { place, replica, set, write, clock } = await world(withToken)
    await set({ subject: "alice" }, { TOKEN: "a-1" })
    const one = replica()
    await place(one)
    await write({ subject: "alice" }, { TOKEN: "a-2" })
    await clock.advance(5 * minute)
    expect(tokenOf(await place(one))).toBe("Bearer a-2")
  })

  test("are read again at once, on every replica, after a change by the REST API", async () => {
    const { place, replica, set, remove } = await world(withToken)
    await set({ subject: "alice" }, { TOKEN: "a-1" })
    const replicas = [replica(), replica(), replica()]
    for (const each of replicas) await place(each)
    await set({ subject: "alice" }, { TOKEN: "a-2" })
    for (const each of replicas) expect(tokenOf(await place(each))).toBe("Bearer a-2")
    await remove({ subject: "alice" })
    for (const each of replicas) await expect(place(each)).rejects.toMatchObject({ code: "CredentialMissing" })
  })

  test("of other users stay where they are when one changes theirs", async () => {
    const { place, replica, set } = await world(withToken)
    await set({ subject: "alice" }, { TOKEN: "a-1" })
    await set({ subject: "bob" }, { TOKEN: "b-1" })
    const one = replica()
    await place(one, "bob")
    const reads = one.reads.length
    await set({ subject: "alice" }, { TOKEN: "a-2" })
    await place(one, "bob")
    expect(one.reads.length).toBe(reads)
  })

  test("that were read before a change, and arrive after it, are not used", async () => {
    const { place, replica, set, clock } = await world(withToken)
    await set({ subject: "alice" }, { TOKEN: "a-1" })
    const one = replica()
    const held = Promise.withResolvers<void>()
    one.hold = held.promise
    const placed = place(one)
    await clock.advance(0)
    one.hold = undefined
    await set({ subject: "alice" }, { TOKEN: "a-2" })
    held.resolve()
    expect(tokenOf(await placed)).toBe("Bearer a-2")
  })

  test("are composed once for many requests at the same time", async () => {
    const { place, replica, set } = await world(withToken)
    await set({ subject: "alice" }, { TOKEN: "a-1" })
    const one = replica()
    await place(one)
    const once = one.reads.length
    const two = replica()
    await Promise.all(Array.from({ length: 50 }, () => place(two)))
    expect(two.reads.length).toBe(once)
  })

  test("are those of the request's own state of the target, even if it waits with requests of another", async () => {
    const { place, replica, set, clock, patch } = await world(withToken)
    await set({ subject: "alice" }, { TOKEN: "a-1" })
    const one = replica()
    const held = Promise.withResolvers<void>()
    one.hold = held.promise
    const early = place(one)
    await clock.advance(0)
    await patch({ spec: { remote: { url: "https://mcp.example.com/v2" } } })
    const late = place(one)
    await clock.advance(0)
    held.resolve()
    expect((await early).url.pathname).toBe("/mcp")
    expect((await late).url.pathname).toBe("/v2")
  })

  test("that never come are an error after half a minute", async () => {
    const { place, replica, clock } = await world(withToken)
    const one = replica()
    one.hold = new Promise(() => {})
    const placed = place(one)
    placed.catch(() => {})
    await clock.advance(30_000)
    await expect(placed).rejects.toMatchObject({ code: "ClusterUnavailable" })
  })

  test("that were forgotten, and composed again, still hear of a change", async () => {
    const { place, replica, set, clock } = await world(withToken)
    await set({ subject: "alice" }, { TOKEN: "a-1" })
    const one = replica()
    await place(one)
    await clock.advance(10 * minute)
    await place(one)
    await set({ subject: "alice" }, { TOKEN: "a-2" })
    expect(tokenOf(await place(one))).toBe("Bearer a-2")
  })

  test("are not used after five minutes if the API server answers that they are gone", async () => {
    const { place, replica, set, write, clock } = await world(withToken)
    await set({ subject: "alice" }, { TOKEN: "a-1" })
    const one = replica()
    await place(one)
    await write({ subject: "alice" }, {})
    // used in the background only, so that it is still known
    await clock.advance(4 * minute)
    await place(one)
    await clock.advance(minute - 1_000)
    await place(one).catch(() => {})
    await clock.advance(1_000)
    await expect(place(one)).rejects.toMatchObject({ code: "CredentialMissing" })
  })

  test("end with the reading that finds them gone", async () => {
    const { place, replica, set, write, clock } = await world(withToken)
    await set({ subject: "alice" }, { TOKEN: "a-1" })
    const one = replica()
    await place(one)
    await write({ subject: "alice" }, {})
    await clock.advance(4 * minute)
    expect(tokenOf(await place(one))).toBe("Bearer a-1")
    await clock.advance(0)
    await expect(place(one)).rejects.toMatchObject({ code: "CredentialMissing" })
  })

  test("live on if a plugin fails to resolve them anew, but no longer than five minutes", async () => {
    let fault: AppError | undefined
    const resolver = { ...withToken, secrets: [{ name: "TOKEN", from: "vault:team/key" }] }
    const { place, replica, clock } = await world(resolver, async () => {
      if (fault !== undefined) throw fault
      return { value: "v-1" }
    })
    const one = replica()
    await place(one)
    fault = new AppError("PluginFailed", { detail: "The vault is sealed." })
    await clock.advance(4 * minute)
    for (let turn = 0; turn < 2; turn++) expect(tokenOf(await place(one))).toBe("Bearer v-1")
    await clock.advance(minute)
    await expect(place(one)).rejects.toMatchObject({ code: "PluginFailed" })
  })

  test("that were missing are used at once after the REST API has set them", async () => {
    const { place, replica, set } = await world(withToken)
    const one = replica()
    await expect(place(one)).rejects.toMatchObject({ code: "CredentialMissing" })
    await set({ subject: "alice" }, { TOKEN: "a-1" })
    expect(tokenOf(await place(one))).toBe("Bearer a-1")
  })

  test("that were missing are looked for again when the target has changed", async () => {
    const { place, replica, patch } = await world(withToken)
    const one = replica()
    await expect(place(one)).rejects.toMatchObject({ code: "CredentialMissing" })
    await patch({ spec: { credentials: [{ name: "TOKEN" }, { name: "REGION" }] } })
    expect(headersOf(await place(one))).toEqual({ "x-workspace": "acme" })
  })

  test("of a group come with the token that has the group", async () => {
    const given = await world(withToken)
    const { cluster, clock, place, replica, set, target } = given
    await set({ subject: "alice" }, { TOKEN: "a-1" })
    const who = { issuer: "corp", name: "ops" }
    const { setScope } = await import("../../../../src/credentials/store.ts")
    await setScope({
      cluster,
      namespace: "reflow",
      target: target(),
      scope: "group",
      who,
      values: { REGION: "eu" },
      signal,
      now: clock.now(),
    })
    const one = replica()
    expect(headersOf(await place(one))["x-region"]).toBeUndefined()
    expect(headersOf(await place(one, "alice", { groups: ["ops"] }))["x-region"]).toBe("eu")
    expect(headersOf(await place(one))["x-region"]).toBeUndefined()
  })

  test("that are missing are looked for again after seconds, and not for each request", async () => {
    const { place, replica, write, clock } = await world(withToken)
    const one = replica()
    await expect(place(one)).rejects.toMatchObject({ code: "CredentialMissing" })
    const reads = one.reads.length
    await expect(place(one)).rejects.toMatchObject({ code: "CredentialMissing" })
    expect(one.reads.length).toBe(reads)
    await write({ subject: "alice" }, { TOKEN: "a-1" })
    await clock.advance(5_000)
    expect(tokenOf(await place(one))).toBe("Bearer a-1")
  })

  test("with a line break are refused without repeating them", async () => {
    const { place, replica, set } = await world(withToken)
    await set({ subject: "alice" }, { TOKEN: "geheim\n" })
    const failure = await place(replica()).catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: "InstanceFailed", data: { reason: "CredentialInvalid" } })
    expect(String((failure as Error).message)).toMatch(/TOKEN ends with a line break/)
    expect(JSON.stringify([failure, (failure as Error).message])).not.toContain("geheim")
  })

  test("of a resolver are never used after they have expired", async () => {
    let count = 0
    const clocks: World["clock"][] = []
    const resolved = await world({ ...withToken, secrets: [{ name: "TOKEN", from: "vault:team/key" }] }, async () => ({
      value: `v-${++count}`,
      expiresAt: (clocks[0]?.now() ?? 0) + 2 * minute,
    }))
    clocks.push(resolved.clock)
    const one = resolved.replica()
    expect(tokenOf(await resolved.place(one))).toBe("Bearer v-1")
    // half a minute before the end it is resolved in the background
    await resolved.clock.advance(90_000)
    expect(tokenOf(await resolved.place(one))).toBe("Bearer v-1")
    expect(tokenOf(await resolved.place(one))).toBe("Bearer v-2")
    await resolved.clock.advance(2 * minute)
    expect(tokenOf(await resolved.place(one))).toBe("Bearer v-3")
  })
})
