/** The plugin vault, against a server that speaks Vault's documented HTTP API. */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest"
import { builtinHost, failureOf, resolved } from "../../support/builtin-host.ts"
import { fakeClock } from "../../support/fake-clock.ts"
import { startVault, type Vault } from "../../support/vault.ts"

let vault: Vault
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "reflow-vault-"))
  await writeFile(join(folder, "jwt"), "jwt-of-the-gateway\n")
  vault = await startVault({
    review: async (jwt) => (jwt === "jwt-of-the-gateway" ? "reflow-system:reflow-gateway" : undefined),
  })
  vault.role("reflow", { accounts: ["reflow-system:reflow-gateway"], ttlSeconds: 3_600, reads: ["team"] })
  vault.role("stranger", { accounts: ["reflow-system:other"], ttlSeconds: 3_600, reads: ["team"] })
  vault.write("team/git hub", { token: "old-value" })
  vault.write("team/git hub", { token: "vault-value", number: 7, empty: "" }, Date.parse("2100-01-01T00:00:00Z"))
  vault.write("team/lasting", { token: "lasting-value" })
  vault.write("team/gone", { token: "gone-value" }, Date.now() - 1)
  vault.write("private/key", { token: "private-value" })
})
afterAll(async () => {
  await vault.close()
  await rm(folder, { recursive: true })
})
beforeEach(() => {
  vault.requests.length = 0
})

const byKubernetes = (role = "reflow", more = {}) =>
  builtinHost(
    "vault",
    { address: vault.address, auth: { kubernetes: { role, token_path: join(folder, "jwt") } } },
    more,
  )
const ways = () => vault.requests.map(({ method, url }) => `${method} ${url}`)
const login = "POST /v1/auth/kubernetes/login"
const read = "GET /v1/secret/data/team/git%20hub"

test("a value is that of the newest version, after one login, which is kept", async () => {
  const host = await byKubernetes()
  const expected = { value: "vault-value", expiresAt: Date.parse("2100-01-01T00:00:00Z") }
  for (let turn = 0; turn < 2; turn++) expect(await resolved(host, "vault:team/git hub#token")).toEqual(expected)
  expect(ways()).toEqual([login, read, read])
  expect(JSON.parse(vault.requests[0]?.body ?? "")).toEqual({ role: "reflow", jwt: "jwt-of-the-gateway" })
})

test("a version that Vault does not delete by itself has no end", async () => {
  expect(await resolved(await byKubernetes(), "vault:team/lasting#token")).toEqual({ value: "lasting-value" })
})

test("a session is renewed by another login before its lease is over", async () => {
  const clock = fakeClock()
  const host = await byKubernetes("reflow", { clock })
  await resolved(host, "vault:team/git hub#token")
  await clock.advance(0.79 * 3_600_000)
  await resolved(host, "vault:team/git hub#token")
  await clock.advance(0.02 * 3_600_000)
  await resolved(host, "vault:team/git hub#token")
  expect(ways()).toEqual([login, read, read, login, read])
})

test("a session that was revoked is made anew", async () => {
  const host = await byKubernetes()
  await resolved(host, "vault:team/git hub#token")
  vault.revoke(vault.requests[1]?.token ?? "")
  expect((await resolved(host, "vault:team/git hub#token")).value).toBe("vault-value")
  expect(ways()).toEqual([login, read, read, login, read])
})

test("the token of a file is read anew each time", async () => {
  const token_file = join(folder, "token")
  const tokens = [vault.token(["team"]), vault.token(["team"])]
  const host = await builtinHost("vault", { address: vault.address, auth: { token_file } })
  for (const token of tokens) {
    await writeFile(token_file, `${token}\n`)
    await resolved(host, "vault:team/git hub#token")
  }
  expect(vault.requests.map(({ token }) => token)).toEqual(tokens)
})

test.each([
  ["team/missing#token", "Vault answered 404 to the read of secret/team/missing"],
  ["team/gone#token", "Vault answered 404 to the read of secret/team/gone"],
  ["private/key#token", "Vault answered 403 to the read of secret/private/key"],
  ["team/git hub#missing", "no text under that key"],
  ["team/git hub#number", "no text under that key"],
  ["team/git hub#empty", "no text under that key"],
  ["team/git hub", "must be PATH#KEY"],
  ["team/../private/key#token", "must be PATH#KEY"],
  ["../sys/seal#x", "must be PATH#KEY"],
])("%s is told with its reason, and without a value", async (reference, told) => {
  const failed = await failureOf(async () => resolved(await byKubernetes(), `vault:${reference}`))
  expect(failed).toContain("The hook secrets.vault of the plugin vault failed")
  expect(failed).toContain(told)
  expect(failed).not.toContain("-value")
})

test.each([
  ["stranger", "Vault answered 403 to the login"],
  ["nobody", "Vault answered 400 to the login"],
])("a login as %s is refused, and nothing is read", async (role, told) => {
  expect(await failureOf(async () => resolved(await byKubernetes(role), "vault:team/git hub#token"))).toContain(told)
  expect(ways()).toEqual([login])
})
