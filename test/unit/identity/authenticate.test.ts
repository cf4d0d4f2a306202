import { createHash } from "node:crypto"
import { type JWTPayload, SignJWT } from "jose"
import { describe, expect, test } from "vitest"
import { hasCode, isAppError } from "../../../src/errors.ts"
import { createAuthenticator } from "../../../src/identity/authenticate.ts"
import type { Purpose } from "../../../src/identity/identity.ts"
import { type DevToken, mintDevToken } from "../../../src/identity/own-tokens.ts"
import { fakeClock } from "../../support/fake-clock.ts"
import { quietTelemetry } from "../../support/quiet-telemetry.ts"

const key = Buffer.alloc(32, 7)
const clock = fakeClock()
const sha256 = (token: string) => createHash("sha256").update(token).digest("hex")
const staticToken = (token: string, purposes: Purpose[]) => ({
  name: token,
  sha256: sha256(token),
  subject: "robot",
  roles: ["admin"],
  groups: ["machines"],
  for: purposes,
})
const authenticator = createAuthenticator({
  tokens: [staticToken("canary-mcp", ["mcp"]), staticToken("canary-api", ["api"])],
  dev: key,
  clock,
  telemetry: quietTelemetry(),
})
const authenticate = async (authorization: string | null | undefined, purpose: Purpose = "mcp") =>
  authenticator.authenticate({ authorization, purpose, resource: purpose === "api" ? "/api" : "/mcp/demo" })
const refusal = async (authorization: string | null | undefined, purpose: Purpose = "mcp") => {
  const error: unknown = await authenticate(authorization, purpose).then(
    () => undefined,
    (reason) => reason,
  )
  if (!isAppError(error)) throw new Error("was let in")
  expect(error.code).toBe("Unauthenticated")
  expect(error.headers?.["www-authenticate"]).toMatch(/^Bearer realm="reflow"/)
  expect(JSON.stringify({ ...error, message: error.message })).not.toContain("canary")
  return error.message
}
const mint = (more: Partial<DevToken> = {}, by: Uint8Array = key) =>
  mintDevToken(by, { subject: "alice", for: ["mcp"], ttlSeconds: 3600, ...more }, clock)

describe("the Authorization header", () => {
  test.each([undefined, null, ""])("%j is told that no token was sent", async (header) => {
    expect(await refusal(header)).toContain("No token")
  })
  test.each([
    "canary",
    "Basic Y2FuYXJ5",
    "Bearer",
    "Bearer ",
    "Bearer\tcanary-mcp",
    "Bearer canary-mcp, Bearer x",
    "Bearer canary\u00e9",
    "Bearer canary-mcp extra",
  ])("%j is refused", async (header) => {
    expect(await refusal(header)).toContain("Bearer <token>")
  })
  test("of more than 16 KiB is refused without being looked at", async () => {
    expect(await refusal(`Bearer ${"a".repeat(16 * 1024)}`)).toContain("16 KiB")
  })
  test("names the scheme in any case, with one blank or several behind it", async () => {
    expect((await authenticate("bEARER canary-mcp")).subject).toBe("robot")
    expect((await authenticate("Bearer   canary-mcp")).subject).toBe("robot")
  })
})

describe("a static token", () => {
  test("is an identity of the issuer static, known at once", () => {
    expect(
      authenticator.authenticate({ authorization: "Bearer canary-api", purpose: "api", resource: "/api" }),
    ).toEqual({
      source: "token",
      issuer: "static",
      subject: "robot",
      roles: ["admin"],
      groups: ["machines"],
      scopes: [],
      claims: {},
    })
  })
  test("opens only what it is for", async () => {
    expect(await refusal("Bearer canary-mcp", "api")).toBe(
      "The token is not for the REST API: it opens MCP endpoints only.",
    )
    expect(await refusal("Bearer canary-api", "mcp")).toBe(
      "The token is not for MCP endpoints: it opens the REST API only.",
    )
  })
  test("that nobody configured is refused", async () => {
    expect(await refusal("Bearer canary-wrong")).toContain("not valid")
  })
})

const signDev = (claims: JWTPayload) =>
  new SignJWT({ aud: "reflow-mcp", exp: clock.now() / 1000 + 60, ...claims })
    .setProtectedHeader({ alg: "HS256" })
    .setIssuer("dev")
    .sign(key)

describe("a dev token", () => {
  test.each(["", "u\ud83d", "x".repeat(1_025)])("is not made for the subject %j", (subject) => {
    expect(() => mint({ subject })).toThrow(expect.objectContaining({ code: "UsageInvalid" }))
  })
  test("leaves out groups and roles that are no valid Unicode", async () => {
    const token = await mint({ groups: ["u\ud83d", "eng"], roles: ["\udc00"] })
    expect(await authenticate(`Bearer ${token}`)).toMatchObject({ groups: ["eng"], roles: [] })
  })
  test("is an identity of the issuer dev with its groups and roles", async () => {
    const token = await mint({ groups: ["eng"], roles: ["admin"], for: ["mcp", "api"] })
    for (const purpose of ["mcp", "api"] as const)
      expect(await authenticate(`Bearer ${token}`, purpose)).toMatchObject({
        source: "jwt",
        issuer: "dev",
        subject: "alice",
        groups: ["eng"],
        roles: ["admin"],
      })
  })
  test("opens only what it is for, also when it is remembered", async () => {
    const token = await mint()
    await authenticate(`Bearer ${token}`)
    expect(await refusal(`Bearer ${token}`, "api")).toContain("not for the REST API")
  })
  test("is known synchronously from the second time on, for five minutes", async () => {
    const authorization = `Bearer ${await mint({ subject: "bob" })}`
    expect(authenticator.authenticate({ authorization, purpose: "mcp", resource: "/mcp/demo" })).toBeInstanceOf(Promise)
    await authenticate(authorization)
    expect(authenticator.authenticate({ authorization, purpose: "mcp", resource: "/mcp/demo" })).toMatchObject({
      subject: "bob",
    })
    clock.skew(5 * 60_000)
    expect(authenticator.authenticate({ authorization, purpose: "mcp", resource: "/mcp/demo" })).toBeInstanceOf(Promise)
  })
  test("expires to the second, also when it is remembered", async () => {
    const authorization = `Bearer ${await mint({ ttlSeconds: 60 })}`
    await authenticate(authorization)
    await clock.advance(59_000)
    expect((await authenticate(authorization)).subject).toBe("alice")
    await clock.advance(1_000)
    expect(await refusal(authorization)).toContain("expired")
  })
  test.each<[string, () => Promise<string>]>([
    ["of another key", () => mint({}, Buffer.alloc(32, 8))],
    ["without a subject", () => signDev({})],
    ["with an empty subject", () => signDev({ sub: "" })],
    ["with half a surrogate pair in its subject", () => signDev({ sub: "canary\ud83d" })],
    ["with an endless subject", () => signDev({ sub: "x".repeat(1_025) })],
    [
      "without an expiry",
      () => new SignJWT({}).setProtectedHeader({ alg: "HS256" }).setIssuer("dev").setSubject("a").sign(key),
    ],
    [
      "of another issuer",
      () =>
        new SignJWT({})
          .setProtectedHeader({ alg: "HS256" })
          .setIssuer("x")
          .setSubject("a")
          .setExpirationTime("1h")
          .sign(key),
    ],
    [
      "of another algorithm",
      () =>
        new SignJWT({})
          .setProtectedHeader({ alg: "HS512" })
          .setIssuer("dev")
          .setSubject("a")
          .setAudience("reflow-mcp")
          .setExpirationTime("1h")
          .sign(key),
    ],
    [
      "of the algorithm none",
      async () => {
        const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url")
        return `${part({ alg: "none" })}.${part({ iss: "dev", sub: "a", aud: ["reflow-mcp"], exp: 9e9 })}.`
      },
    ],
    [
      "with a changed payload",
      async () => (await mint()).replace(/\.[^.]+\./, `.${Buffer.from("{}").toString("base64url")}.`),
    ],
  ])("%s is refused", async (_name, make) => {
    expect(await refusal(`Bearer ${await make()}`)).toContain("not valid")
  })
  test("is nothing where the embedded default is not run", async () => {
    const plain = createAuthenticator({ tokens: [], clock, telemetry: quietTelemetry() })
    const authorization = `Bearer ${await mint()}`
    await expect(async () =>
      plain.authenticate({ authorization, purpose: "mcp", resource: "/mcp/demo" }),
    ).rejects.toMatchObject({
      code: "Unauthenticated",
    })
  })
})

test("a key of less than 32 bytes is refused", () => {
  const make = () => createAuthenticator({ tokens: [], dev: Buffer.alloc(31), clock, telemetry: quietTelemetry() })
  expect(make).toThrowError(expect.toSatisfy((error) => hasCode(error, "ConfigInvalid")))
})
