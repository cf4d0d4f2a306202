import { createHash } from "node:crypto"
import { describe, expect, test } from "vitest"
import { createMemoryCluster } from "../../../src/adapters/memory/cluster.ts"
import { secretKind } from "../../../src/api/kinds/kubernetes.ts"
import type { Config } from "../../../src/config/schema.ts"
import { isAppError } from "../../../src/errors.ts"
import { clusterIssuers, ensureBootstrapToken, needsBootstrapToken } from "../../../src/roles/bootstrap-token.ts"
import { fakeClock } from "../../support/fake-clock.ts"
import { quietTelemetry } from "../../support/quiet-telemetry.ts"

type Auth = Config["auth"]
type Token = Auth["tokens"][number]

const aToken = (over: Partial<Token> = {}): Token => ({
  name: "ci",
  sha256: "0".repeat(64),
  subject: "ci",
  roles: ["admin"],
  groups: [],
  for: ["mcp", "api"],
  ...over,
})

const anIssuer: Auth["issuers"][number] = {
  name: "corp",
  issuer: "https://id.example",
  audiences: [],
  api_audiences: [],
  mcp_tokens_open_api: false,
  scopes: [],
  jwks_url: "",
  claims: { subject: "sub", email: "email", groups: "groups", roles: "roles" },
}

describe("a bootstrap token is needed", () => {
  const auth: Auth = { issuers: [], tokens: [], admin_roles: ["admin"] }
  test.each<[string, Partial<Auth>, boolean]>([
    ["while nobody is configured", {}, true],
    ["while no token has an administrator's role", { tokens: [aToken({ roles: ["reader"] })] }, true],
    ["while an administrator's token does not open the REST API", { tokens: [aToken({ for: ["mcp"] })] }, true],
    ["not with an administrator's token", { tokens: [aToken()] }, false],
    ["not with an issuer, whose users may be administrators", { issuers: [anIssuer] }, false],
    ["not where no role may administer", { admin_roles: [] }, false],
  ])("%s", (_when, over, expected) => {
    expect(needsBootstrapToken({ ...auth, ...over })).toBe(expected)
  })
})

const ref = { namespace: "reflow-system", name: "reflow-bootstrap-token" }

const makeCluster = () => createMemoryCluster({ clock: fakeClock(), telemetry: quietTelemetry() })

const ensure = (cluster: ReturnType<typeof makeCluster>) =>
  ensureBootstrapToken(cluster, {
    namespace: ref.namespace,
    adminRole: "platform",
    signal: new AbortController().signal,
  })

const secretToken = async (cluster: ReturnType<typeof makeCluster>): Promise<string> => {
  const secret = await cluster.get(secretKind, ref)
  return Buffer.from(secret?.data?.token ?? "", "base64").toString()
}

test("the first start makes a random token, for an administrator who may use everything", async () => {
  const cluster = makeCluster()
  const entry = await ensure(cluster)
  const token = await secretToken(cluster)
  expect(token).toMatch(/^[A-Za-z0-9_-]{43}$/)
  expect(entry).toMatchObject({ subject: "bootstrap-admin", roles: ["platform"], for: ["mcp", "api"] })
  expect(entry.sha256).toBe(createHash("sha256").update(token).digest("hex"))
  expect(JSON.stringify(entry)).not.toContain(token)
})

test("replicas that start together agree on one token, and so does a later start", async () => {
  const cluster = makeCluster()
  const entries = await Promise.all([ensure(cluster), ensure(cluster), ensure(cluster)])
  entries.push(await ensure(cluster))
  expect(new Set(entries.map(({ sha256 }) => sha256)).size).toBe(1)
})

const prepared = async (token: string | undefined) => {
  const cluster = makeCluster()
  const data = token === undefined ? {} : { token: Buffer.from(token).toString("base64") }
  await cluster.create(secretKind, { apiVersion: "v1", kind: "Secret", metadata: ref, type: "Opaque", data })
  return cluster
}

test("a token that a person put there, with its newline, is used", async () => {
  const token = "A-token-that-somebody-has-chosen-12345"
  const { sha256 } = await ensure(await prepared(`${token}\n`))
  expect(sha256).toBe(createHash("sha256").update(token).digest("hex"))
})

test.each([
  ["no token", undefined],
  ["a token that is easily guessed", "admin"],
  ["a token that no header can carry", "words with spaces that are long enough"],
])("a Secret with %s is told by its name, without what is in it", async (_what, token) => {
  const error = await ensure(await prepared(token)).catch((each: unknown) => each)
  expect(isAppError(error) && error.code).toBe("ConfigInvalid")
  expect(String(error)).toContain("reflow-system/reflow-bootstrap-token")
  if (token !== undefined) expect(String(error)).not.toContain(token)
})

test("who vouches for identities on a cluster: configured issuers, static tokens, and the bootstrap token as one", () => {
  const auth = (over: Partial<Auth>): Auth => ({ issuers: [], tokens: [], admin_roles: ["admin"], ...over })
  expect(clusterIssuers(auth({ issuers: [anIssuer] }))).toEqual(["corp"])
  expect(clusterIssuers(auth({ issuers: [anIssuer], tokens: [aToken()] }))).toEqual(["static", "corp"])
  expect(clusterIssuers(auth({}))).toEqual(["static"])
  expect(clusterIssuers(auth({ admin_roles: [] }))).toEqual([])
})
