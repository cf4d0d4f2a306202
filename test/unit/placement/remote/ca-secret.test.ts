import { afterEach, describe, expect, test } from "vitest"
import { makeCA } from "../../../support/certificates.ts"
import { closeWorlds, world } from "../../../support/remote-world.ts"

afterEach(closeWorlds)

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
