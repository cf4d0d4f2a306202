import { afterEach, describe, expect, test } from "vitest"
import { labels } from "../../../../src/api/names.ts"
import { closeWorlds, tokenOf, withToken, world } from "../../../support/remote-world.ts"

const signal = new AbortController().signal
afterEach(closeWorlds)

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
