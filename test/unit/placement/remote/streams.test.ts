import { afterEach, describe, expect, test } from "vitest"
import { labels } from "../../../../src/api/names.ts"
import { closeWorlds, type World, withToken, world } from "../../../support/remote-world.ts"

const minute = 60_000
afterEach(closeWorlds)

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

  test("goes on if its server was slow to begin it, as long as somebody has followed the login meanwhile", async () => {
    const given = await world(withToken)
    await given.set({ subject: "alice" }, { TOKEN: "a-1" })
    const { remote } = await given.place(given.replica())
    const ends: string[] = []
    const release = remote?.follow(() => ends.push("before the head"))
    await given.clock.advance(10 * minute)
    remote?.follow(() => ends.push("after it"))
    release?.()
    expect(ends).toEqual([])
    await given.set({ subject: "alice" }, { TOKEN: "a-2" })
    expect(ends).toEqual(["after it"])
  })

  test("is followed by itself: another stream's end, with the same function, does not concern it", async () => {
    const given = await world(withToken)
    await given.set({ subject: "alice" }, { TOKEN: "a-1" })
    const { remote } = await given.place(given.replica())
    let ends = 0
    const over = () => void ends++
    const stopOne = remote?.follow(over)
    remote?.follow(over)
    remote?.follow(over)
    stopOne?.()
    await given.set({ subject: "alice" }, { TOKEN: "a-2" })
    expect(ends).toBe(2)
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
