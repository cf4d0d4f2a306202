import { beforeEach, describe, expect, test } from "vitest"
import { register, send, storeFor, useAdmin } from "../support/admin-stage.ts"

useAdmin({ issuers: ["dev"] })

describe("with one issuer", () => {
  const path = (who: string) => `/api/targets/github/env/user/${who}`
  beforeEach(() => register("github", { credentials: [{ name: "TOKEN" }] }))

  test("a bare name that looks like another issuer's is refused, one that does not is taken", async () => {
    const refused = await send("PUT", path("nosuch/alice"), { body: { TOKEN: "x" } })
    expect(refused).toMatchObject({ status: 400, body: { code: "InvalidParams", issuers: ["dev"] } })
    expect(refused.body.detail).toContain("write dev/ before it")
    for (const [who, meant] of [
      ["alice", "dev/alice"],
      ["%2Feng", "dev//eng"],
      ["dev/nosuch/alice", "dev/nosuch/alice"],
    ])
      expect(await send("PUT", path(who ?? ""), { body: { TOKEN: "x" } })).toMatchObject({
        status: 200,
        body: { who: meant },
      })
  })
  test("values that were stored under such a name are found under it, an issuer's that has gone first", async () => {
    await storeFor({ issuer: "dev", name: "gone/alice" })
    expect(await send("GET", path("gone/alice"))).toMatchObject({ body: { who: "dev/gone/alice", names: ["TOKEN"] } })
    await storeFor({ issuer: "gone", name: "alice" })
    expect(await send("GET", path("gone/alice"))).toMatchObject({ body: { who: "gone/alice" } })
    for (const who of ["gone/alice", "dev/gone/alice"])
      expect(await send("DELETE", path("gone/alice"))).toMatchObject({ status: 200, body: { who } })
    expect(await send("DELETE", path("gone/alice"))).toMatchObject({ status: 400 })
  })
})
