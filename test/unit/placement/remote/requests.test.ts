import { afterEach, describe, expect, test } from "vitest"
import { closeWorlds, headersOf, tokenOf, withToken, world } from "../../../support/remote-world.ts"

afterEach(closeWorlds)

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

test("a URL that the schema lets pass and nobody can call is refused in words", async () => {
  const { place, replica } = await world({ remote: { url: "https://a:99999/mcp" } })
  await expect(place(replica())).rejects.toMatchObject({
    code: "AddressNotAllowed",
    message: expect.stringContaining("no URL"),
  })
})
