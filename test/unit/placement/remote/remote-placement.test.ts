import { afterEach, describe, expect, test } from "vitest"
import type { MCPTargetSpec } from "../../../../src/api/kinds/mcp-target.ts"
import { labels } from "../../../../src/api/names.ts"
import { AppError } from "../../../../src/errors.ts"
import type { Placement } from "../../../../src/placement/port.ts"
import { makeCA } from "../../../support/certificates.ts"
import { remoteWorld } from "../../../support/remote-world.ts"

type World = Awaited<ReturnType<typeof remoteWorld>>

const minute = 60_000
const signal = new AbortController().signal
const withToken: Partial<MCPTargetSpec> = {
  remote: {
    url: "https://mcp.example.com/mcp",
    headers: [
      { name: "Authorization", value: "Bearer ${TOKEN}" },
      { name: "X-Workspace", value: "acme" },
      { name: "X-Region", value: "${REGION}" },
    ],
  },
  credentials: [{ name: "TOKEN", required: true, description: "Settings → API tokens" }, { name: "REGION" }],
}
const away = new AppError("ClusterUnavailable", { detail: "The API server does not answer." })

const open: World[] = []
const world = async (...args: Parameters<typeof remoteWorld>): Promise<World> => {
  const made = await remoteWorld(...args)
  open.push(made)
  return made
}
afterEach(async () => {
  for (const each of open.splice(0)) await each.close()
})

const headersOf = ({ remote }: Placement): Readonly<Record<string, string>> => {
  const list = remote?.headers ?? []
  return Object.fromEntries(list.flatMap((name, at) => (at % 2 === 0 ? [[name, list[at + 1] ?? ""]] : [])))
}
const tokenOf = (placement: Placement): string | undefined => headersOf(placement).authorization

describe("a request to a remote server", () => {
  test("carries its caller's own values, and no header whose optional value is missing", async () => {
    const { place, replica, set } = await world(withToken)
    await set({ subject: "alice" }, { TOKEN: "a-1" })
    await set({ subject: "bob" }, { TOKEN: "b-1", REGION: "eu" })
    const one = replica()
    expect(headersOf(await place(one, "alice"))).toEqual({ authorization: "Bearer a-1", "x-workspace": "acme" })
    expect(headersOf(await place(one, "bob"))).toEqual({
      authorization: "Bearer b-1",
      "x-workspace": "acme",
      "x-region": "eu",
    })
  })

  test("goes to the target's URL, with a name that no instance can have", async () => {
    const { place, replica, set, target } = await world(withToken)
    await set({ subject: "alice" }, { TOKEN: "a-1" })
    const placement = await place(replica())
    expect(placement.url.href).toBe("https://mcp.example.com/mcp")
    expect(placement.instance).toMatch(/^remote\//)
    expect(placement.instanceUID).toBe(target().metadata.uid)
  })

  test("is refused before anything is read if its URL may not be called", async () => {
    const { place, replica, set } = await world(withToken)
    await set({ subject: "alice" }, { TOKEN: "a-1" })
    const one = replica()
    await place(one)
    expect(one.checked).toEqual(["https://mcp.example.com/mcp"])
  })

  test("without a required value is refused, and says where to set it", async () => {
    const { place, replica } = await world(withToken)
    await expect(place(replica())).rejects.toMatchObject({
      code: "CredentialMissing",
      data: { names: ["TOKEN"], url: "https://gateway.example.com/api/targets/example/env/me" },
    })
  })

  test("on a shared target carries the administrator's value", async () => {
    const { place, replica, set } = await world({ ...withToken, isolationBoundary: "shared" })
    await set("default", { TOKEN: "everybody" })
    const one = replica()
    expect(tokenOf(await place(one, "alice"))).toBe("Bearer everybody")
    expect((await place(one, "bob")).incarnation).toBe((await place(one, "alice")).incarnation)
  })

  test("is refused while the target is paused", async () => {
    const { place, replica, set, patch } = await world(withToken)
    await set({ subject: "alice" }, { TOKEN: "a-1" })
    await patch({ spec: { paused: true } })
    await expect(place(replica())).rejects.toMatchObject({ code: "TargetPaused" })
  })

  test("is refused once placement has been closed", async () => {
    const { place, replica } = await world(withToken)
    const one = replica()
    await one.placement.close()
    await expect(place(one)).rejects.toMatchObject({ code: "ShuttingDown" })
  })
})

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

describe("the incarnation", () => {
  test("is the same on every replica, and another one for another user", async () => {
    const { place, replica, set } = await world(withToken)
    await set({ subject: "alice" }, { TOKEN: "a-1" })
    await set({ subject: "bob" }, { TOKEN: "b-1" })
    const [one, two] = [replica(), replica()]
    const { incarnation } = await place(one)
    expect((await place(two)).incarnation).toBe(incarnation)
    expect((await place(two, "bob")).incarnation).not.toBe(incarnation)
  })

  test.each<[string, Readonly<Record<string, unknown>>, boolean]>([
    ["a tool policy", { spec: { tools: { deny: ["x"] } } }, false],
    ["access", { spec: { access: { users: ["corp/alice"] } } }, false],
    ["the description of a credential", { spec: { credentials: [{ name: "TOKEN" }, { name: "REGION" }] } }, false],
    ["another URL", { spec: { remote: { url: "https://mcp.example.com/v2" } } }, true],
    ["another header", { spec: { remote: { headers: [{ name: "Authorization", value: "token ${TOKEN}" }] } } }, true],
    ["a restart", { metadata: { annotations: { [labels.restartedTime]: "2030-01-01T00:00:00Z" } } }, true],
    ["another annotation", { metadata: { annotations: { note: "x" } } }, false],
  ])("after a change of %s", async (_, change, isOther) => {
    const { place, replica, set, patch } = await world(withToken)
    await set({ subject: "alice" }, { TOKEN: "a-1" })
    const one = replica()
    const { incarnation } = await place(one)
    await patch(change)
    expect((await place(one)).incarnation !== incarnation).toBe(isOther)
  })

  test("changes with a value that a header carries, with no other one, and returns with it", async () => {
    const { place, replica, set } = await world({
      ...withToken,
      credentials: [...(withToken.credentials ?? []), { name: "UNUSED" }],
    })
    const one = replica()
    await set({ subject: "alice" }, { TOKEN: "a-1" })
    const { incarnation } = await place(one)
    await set({ subject: "alice" }, { TOKEN: "a-1", UNUSED: "x" })
    expect((await place(one)).incarnation).toBe(incarnation)
    await set({ subject: "alice" }, { TOKEN: "a-2" })
    expect((await place(one)).incarnation).not.toBe(incarnation)
    await set({ subject: "alice" }, { TOKEN: "a-1" })
    expect((await place(one)).incarnation).toBe(incarnation)
  })

  test("does not depend on what a resolver returns", async () => {
    let count = 0
    const { place, replica } = await world(
      { ...withToken, secrets: [{ name: "TOKEN", from: "vault:team/key" }] },
      async () => ({ value: `v-${++count}` }),
    )
    const [one, two] = [await place(replica()), await place(replica())]
    expect(tokenOf(one)).not.toBe(tokenOf(two))
    expect(one.incarnation).toBe(two.incarnation)
  })

  test("is read anew when it is asked for, so that a replica that is behind ends no session", async () => {
    const { place, replica, set, write, clock } = await world(withToken)
    await set({ subject: "alice" }, { TOKEN: "a-1" })
    const [one, two] = [replica(), replica()]
    const before = await place(one)
    await write({ subject: "alice" }, { TOKEN: "a-2" })
    const { incarnation } = await place(two)
    const current = one.placement.currentIncarnation(before, signal)
    await clock.advance(0)
    expect(await current).toBe(incarnation)
    expect((await place(one)).incarnation).toBe(incarnation)
  })

  test("is none once the target was deleted", async () => {
    const { place, replica, set, cluster, clock } = await world(withToken)
    await set({ subject: "alice" }, { TOKEN: "a-1" })
    const one = replica()
    const before = await place(one)
    const { mcpTargetKind } = await import("../../../../src/api/kinds/mcp-target.ts")
    await cluster.delete(mcpTargetKind, { namespace: "reflow", name: "example" })
    await clock.advance(0)
    expect(await one.placement.currentIncarnation(before, signal)).toBeUndefined()
  })
})

describe("a stream that a login has opened", () => {
  const followed = async (worldOf: World, one: ReturnType<World["replica"]>) => {
    const ends: string[] = []
    const { remote } = await worldOf.place(one)
    const stop = remote?.follow(() => ends.push("over")) ?? (() => {})
    return { ends, stop }
  }

  test.each<[string, (given: World) => Promise<void>]>([
    ["a changed value", ({ set }) => set({ subject: "alice" }, { TOKEN: "a-2" })],
    ["a deleted value", ({ remove }) => remove({ subject: "alice" })],
    [
      "a restart",
      ({ patch }) => patch({ metadata: { annotations: { [labels.restartedTime]: "2030-01-01T00:00:00Z" } } }),
    ],
    ["another URL", ({ patch }) => patch({ spec: { remote: { url: "https://mcp.example.com/v2" } } })],
  ])("ends with %s, however long nobody has called", async (_, change) => {
    const given = await world(withToken)
    await given.set({ subject: "alice" }, { TOKEN: "a-1" })
    const { ends } = await followed(given, given.replica())
    await given.clock.advance(60 * minute)
    expect(ends).toEqual([])
    await change(given)
    expect(ends).toEqual(["over"])
  })

  test("ends at once if the value has changed while its request was on the way", async () => {
    const given = await world(withToken)
    await given.set({ subject: "alice" }, { TOKEN: "a-1" })
    const { remote } = await given.place(given.replica())
    await given.set({ subject: "alice" }, { TOKEN: "a-2" })
    const ends: string[] = []
    remote?.follow(() => ends.push("over"))
    expect(ends).toEqual(["over"])
  })

  test("ends when another value is read, and not when the same is", async () => {
    const given = await world(withToken)
    await given.set({ subject: "alice" }, { TOKEN: "a-1" })
    const one = given.replica()
    const { ends } = await followed(given, one)
    await given.clock.advance(5 * minute)
    await given.place(one)
    expect(ends).toEqual([])
    await given.write({ subject: "alice" }, { TOKEN: "a-2" })
    await given.clock.advance(5 * minute)
    await given.place(one)
    expect(ends).toEqual(["over"])
  })

  test("does not end with another user's value, with access or a tool policy, and is not told after its own end", async () => {
    const given = await world(withToken)
    await given.set({ subject: "alice" }, { TOKEN: "a-1" })
    const { ends, stop } = await followed(given, given.replica())
    await given.set({ subject: "bob" }, { TOKEN: "b-1" })
    await given.patch({ spec: { tools: { deny: ["x"] } } })
    stop()
    await given.set({ subject: "alice" }, { TOKEN: "a-2" })
    expect(ends).toEqual([])
  })
})

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

test("a URL that the schema lets pass and nobody can call is refused in words", async () => {
  const { place, replica } = await world({ remote: { url: "https://a:99999/mcp" } })
  await expect(place(replica())).rejects.toMatchObject({
    code: "AddressNotAllowed",
    message: expect.stringContaining("no URL"),
  })
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

describe("caSecret", () => {
  const certificate = makeCA().cert
  const withCA = { remote: { url: "https://mcp.example.com/mcp", caSecret: "corporate-ca" } }

  test("gives the certificates, and other ones other connections", async () => {
    const { place, replica, writeSecret, cluster } = await world(withCA)
    await writeSecret("corporate-ca", { "ca.crt": certificate })
    const first = await place(replica())
    expect(first.remote?.ca).toBe(certificate)
    const { secretKind, toSecretData } = await import("../../../../src/api/kinds/kubernetes.ts")
    const data = toSecretData({ "ca.crt": `${certificate}${certificate}` })
    await cluster.mergePatch(secretKind, { namespace: "reflow", name: "corporate-ca" }, { data })
    const second = await place(replica())
    expect(second.incarnation).toBe(first.incarnation)
    expect(second.remote?.pool).not.toBe(first.remote?.pool)
  })

  test.each<[string, Readonly<Record<string, string>> | undefined, RegExp]>([
    ["does not exist", undefined, /corporate-ca .*does not exist/],
    ["has no such key", { other: certificate }, /no certificates under the key ca.crt/],
    ["has something else", { "ca.crt": "PASSWORD" }, /no certificates under the key ca.crt/],
    [
      "has a broken certificate",
      { "ca.crt": "-----BEGIN CERTIFICATE-----\nPASSWORD\n-----END CERTIFICATE-----\n" },
      /is no certificate/,
    ],
    ["is too large", { "ca.crt": certificate + "x".repeat(70_000) }, /no certificates under the key ca.crt/],
  ])("that %s is an error that names it and no content", async (_, data, message) => {
    const { place, replica, writeSecret } = await world(withCA)
    if (data !== undefined) await writeSecret("corporate-ca", data)
    const failure = await place(replica()).catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: "UpstreamUntrusted", message: expect.stringMatching(message) })
    expect((failure as Error).message).not.toContain("PASSWORD")
  })
})
