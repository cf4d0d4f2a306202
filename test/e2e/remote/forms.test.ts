/** A server that somebody else runs, by TLS with a CA of one's own, through each way in which the program is shipped. */
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { makeCA } from "../../support/certificates.ts"
import { openSession } from "../../support/legacy.ts"
import { type Form, type Reflow, startReflow } from "../../support/reflow.ts"
import {
  type AccountServer,
  caSecret,
  remoteTarget,
  startAccountServer,
  withToken,
} from "../../support/remote-peers.ts"
import { said } from "../../support/remote-stage.ts"

const ca = makeCA()
let server: AccountServer
beforeAll(async () => {
  const accounts = { "key-of-alice": "alice", "key-of-bob": "bob" }
  server = await startAccountServer({ accounts, tls: ca.issue(["localhost", "127.0.0.1"]) })
})
afterAll(() => server?.close())

describe.each<Form>(["bundle", "executable", "deno"])("the %s", (form) => {
  let reflow: Reflow
  beforeAll(async () => {
    const url = server.url.replace("127.0.0.1", "localhost")
    const targets = [
      caSecret("test-ca", ca.cert),
      remoteTarget("by-name", withToken(url, { remote: { caSecret: "test-ca" } })),
      remoteTarget("by-address", withToken(server.url, { remote: { caSecret: "test-ca" } })),
      remoteTarget("distrusted", withToken(url)),
    ]
    reflow = await startReflow({ form, targets: targets.join("") })
  })
  afterAll(() => reflow?.stop())

  const at = (target: string) => `${reflow.url}/mcp/${target}`

  test("shows two users their own accounts, opens sessions, and trusts no other certificate", async () => {
    const [alice, bob] = await Promise.all([reflow.token("alice"), reflow.token("bob")])
    for (const target of ["by-name", "by-address", "distrusted"])
      for (const [token, key] of [
        [alice, "key-of-alice"],
        [bob, "key-of-bob"],
      ] as const) {
        const { status, body } = await reflow.api("PUT", `/api/targets/${target}/env/me`, { TOKEN: key }, token)
        expect(status, JSON.stringify(body)).toBe(200)
      }
    for (const target of ["by-name", "by-address"]) {
      expect(await Promise.all([alice, bob].map((token) => said(at(target), token)))).toEqual(["alice", "bob"])
      expect((await (await openSession(at(target), alice)).send("DELETE")).status).toBe(200)
    }
    expect(await said(at("distrusted"), alice)).toMatch(/^UpstreamUntrusted: /)
    expect(await said(at("by-name"), await reflow.token("carol"))).toMatch(/^CredentialMissing: /)
    expect(reflow.output()).not.toMatch(/key-of-/)
  })
})
