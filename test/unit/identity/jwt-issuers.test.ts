import { CompactSign, exportJWK, generateKeyPair, type JWTPayload, SignJWT } from "jose"
import { beforeEach, describe, expect, test } from "vitest"
import { configSchema } from "../../../src/config/schema.ts"
import { isAppError } from "../../../src/errors.ts"
import { createAuthenticator } from "../../../src/identity/authenticate.ts"
import type { Purpose } from "../../../src/identity/identity.ts"
import { createJwtIssuers } from "../../../src/identity/jwt-issuers.ts"
import { createProtectedResources } from "../../../src/identity/protected-resources.ts"
import { type FakeClock, fakeClock } from "../../support/fake-clock.ts"
import { quietTelemetry } from "../../support/quiet-telemetry.ts"
import { type TokenIssuer, tokenIssuer } from "../../support/token-issuer.ts"

const publicUrl = "https://mcp.example.com"
const minute = 60_000
const hour = 60 * minute

let clock: FakeClock
let corp: TokenIssuer
let partner: TokenIssuer
let authenticate: (token: string, resource?: string) => Promise<string>

const issuers = { corp: "https://login.example.com/realm", partner: "https://partner.example.com/t" }

beforeEach(async () => {
  clock = fakeClock()
  corp = await tokenIssuer({ issuer: issuers.corp, audience: `${publicUrl}/mcp/demo`, clock })
  partner = await tokenIssuer({ issuer: issuers.partner, audience: publicUrl, clock, onlyRfc8414: true })
  const { auth } = configSchema.parse({
    auth: {
      issuers: [
        { name: "corp", issuer: issuers.corp, audiences: ["reflow-editors"], api_audiences: ["reflow-admins"] },
        { name: "partner", issuer: issuers.partner, audiences: ["partner-editors"], mcp_tokens_open_api: true },
      ],
    },
  })
  const telemetry = quietTelemetry()
  const fetch = (url: string) => (url.startsWith(issuers.corp) ? corp : partner).fetch(url)
  const authenticator = createAuthenticator({
    tokens: [],
    issuers: {
      tokens: createJwtIssuers(auth.issuers, { fetch, clock, log: telemetry.log }),
      resources: createProtectedResources({
        publicUrl,
        issuers: Object.values(issuers).map((issuer) => ({ issuer, scopes: [] })),
      }),
      publicUrl,
    },
    clock,
    telemetry,
  })
  authenticate = async (token, resource = "/mcp/demo") => {
    const purpose: Purpose = resource === "/api" ? "api" : "mcp"
    try {
      const identity = await authenticator.authenticate({ authorization: `Bearer ${token}`, purpose, resource })
      return `${identity.issuer}/${identity.subject}${identity.administers === false ? " (own things)" : ""}`
    } catch (error) {
      if (!isAppError(error)) throw error
      expect(JSON.stringify({ ...error, message: error.message })).not.toContain(token.slice(0, 40))
      return `${error.code}: ${error.message} ${error.headers?.["www-authenticate"] ?? ""}`
    }
  }
})

describe("a token of an issuer", () => {
  test("is the subject of that issuer, whose keys are found by discovery", async () => {
    expect(await authenticate(await corp.sign())).toBe("corp/alice")
    expect(await authenticate(await partner.sign())).toBe("partner/alice")
    expect(corp.asked).toEqual([`${issuers.corp}/.well-known/openid-configuration`, `${issuers.corp}/keys`])
  })
  test("is checked once and then remembered, without asking the issuer again", async () => {
    const token = await corp.sign()
    for (let turn = 0; turn < 3; turn++) expect(await authenticate(token)).toBe("corp/alice")
    expect(corp.asked).toHaveLength(2)
  })
  const unknown = ": its issuer is none of those that are configured"
  const unsigned = ": no key of the issuer 'corp' made its signature"
  test.each<[string, string, (of: TokenIssuer) => Promise<string> | string]>([
    ["of an issuer that nobody configured", unknown, (of) => of.sign({ iss: "https://evil.example.com" })],
    ["signed by another issuer's key", unsigned, () => partner.sign({ iss: issuers.corp })],
    ["that names no issuer", unknown, (of) => of.sign({ iss: undefined } as unknown as JWTPayload)],
    ["without an expiry", ": it has no expiry", (of) => of.sign({ exp: undefined } as unknown as JWTPayload)],
    ["of the algorithm none", ": its algorithm is not accepted", (of) => of.unsigned()],
    ["signed with HMAC under the public key", ": its algorithm is not accepted", (of) => of.signWithPublicKey()],
    [
      "with a changed payload",
      "",
      async (of) => (await of.sign()).replace(/\.[^.]+\./, (part) => `${part.slice(0, -4)}AAA.`),
    ],
    ["that is no JWT", "", () => "abc.def.ghi"],
    [
      "of another kind, such as a logout token",
      ": its type is not that of an access token",
      (of) => of.sign({}, { typ: "logout+jwt" }),
    ],
    ["that names a key which the issuer does not have", unsigned, (of) => of.sign({}, { kid: "key-9" })],
  ])("%s is refused, and told why", async (_name, why, make) => {
    expect(await authenticate(await make(corp))).toContain(`Unauthenticated: The token is not valid here${why}. `)
  })
  test.each([
    ["without a subject", undefined, "it names no subject"],
    ["with an empty subject", "", "its subject is empty"],
    ["with a subject that is a number", 7, "it names no subject"],
    ["with half a surrogate pair in its subject", "canary\ud83d", "its subject is no valid Unicode"],
    ["with an endless subject", "canary".repeat(200), "its subject is longer than 1024 characters"],
  ])("%s is refused, and told why without repeating it", async (_name, sub, why) => {
    const answer = await authenticate(await corp.sign({ sub } as unknown as JWTPayload))
    expect(answer).toContain(`Unauthenticated: The token is not valid here: ${why}.`)
    expect(answer).toContain('error="invalid_token"')
    expect(answer).not.toContain("canary")
  })
  test("whose payload is no UTF-8 is refused: each wrong byte would become the same character", async () => {
    const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable: true })
    const jwk = { ...(await exportJWK(publicKey)), kid: "own", alg: "ES256" }
    corp.fails = () => Response.json({ issuer: issuers.corp, jwks_uri: `${issuers.corp}/keys`, keys: [jwk] })
    const sign = (subject: Buffer) => {
      const claims = JSON.stringify({ iss: issuers.corp, aud: publicUrl, exp: clock.now() / 1000 + 60, sub: "@" })
      const [before = "", after = ""] = claims.split("@")
      const payload = Buffer.concat([Buffer.from(before), subject, Buffer.from(after)])
      return new CompactSign(payload).setProtectedHeader({ alg: "ES256", kid: "own" }).sign(privateKey)
    }
    expect(await authenticate(await sign(Buffer.from("bob")))).toBe("corp/bob")
    expect(await authenticate(await sign(Buffer.from([0x75, 0xff])))).toContain("Unauthenticated")
  })
  test("signed with a shared secret is refused even if the key set holds that secret", async () => {
    const secret = Buffer.alloc(32, 7)
    const token = await new SignJWT({})
      .setProtectedHeader({ alg: "HS256", kid: "s" })
      .setIssuer(issuers.corp)
      .sign(secret)
    corp.fails = () =>
      Response.json({
        issuer: issuers.corp,
        jwks_uri: `${issuers.corp}/keys`,
        keys: [{ kty: "oct", kid: "s", k: secret.toString("base64url") }],
      })
    expect(await authenticate(token)).toContain("Unauthenticated")
  })
  test("of more than 16 KiB is refused unread", async () => {
    expect(await authenticate(await corp.sign({ filler: "x".repeat(17_000) }))).toContain("larger than 16 KiB")
    expect(corp.asked).toEqual([])
  })
})

describe("a token's times", () => {
  test("may be off by a minute, and are judged for each request, also of a remembered token", async () => {
    const token = await corp.sign({ exp: clock.now() / 1000 + 120 })
    await clock.advance(2 * minute + 59_000)
    expect(await authenticate(token)).toBe("corp/alice")
    await clock.advance(1_000)
    expect(await authenticate(token)).toContain("has expired")
  })
  test("let it begin a minute early, not more", async () => {
    const token = await corp.sign({ nbf: clock.now() / 1000 + 120 })
    expect(await authenticate(token)).toContain("not valid yet")
    await clock.advance(minute)
    expect(await authenticate(token)).toBe("corp/alice")
  })
})

describe("where tokens for MCP open the REST API", () => {
  test.each([
    ["the public URL", publicUrl],
    ["the public URL with a slash", `${publicUrl}/`],
    ["a configured audience of MCP endpoints", "partner-editors"],
  ])("one for %s does, but not to administer", async (_name, aud) => {
    const token = await partner.sign({ aud })
    expect(await authenticate(token, "/api")).toBe("partner/alice (own things)")
    expect(await authenticate(token)).toBe("partner/alice")
    expect(await authenticate(token, "/api")).toBe("partner/alice (own things)")
  })
  test("one for the REST API opens it wholly, also beside others", async () => {
    expect(await authenticate(await partner.sign({ aud: [publicUrl, `${publicUrl}/api`] }), "/api")).toBe(
      "partner/alice",
    )
  })
  test.each([
    ["a single target", `${publicUrl}/mcp/demo`],
    ["another issuer's audience", "reflow-editors"],
    ["something else", "https://elsewhere.example"],
  ])("one for %s does not", async (_name, aud) => {
    expect(await authenticate(await partner.sign({ aud }), "/api")).toContain("The token is not for the REST API")
  })
  test("those of other issuers do not", async () => {
    for (const aud of [publicUrl, "reflow-editors"])
      expect(await authenticate(await corp.sign({ aud }), "/api")).toContain("The token is not for the REST API")
  })
})

describe("a token's audience", () => {
  test.each([
    ["the target's URL", `${publicUrl}/mcp/demo`, "/mcp/demo", true],
    ["the target's URL in a list", ["other", `${publicUrl}/mcp/demo`], "/mcp/demo", true],
    ["the target's URL with a slash, as its client has it", `${publicUrl}/mcp/demo/`, "/mcp/demo", true],
    ["another target's URL", `${publicUrl}/mcp/other`, "/mcp/demo", false],
    ["the public URL", publicUrl, "/mcp/demo", true],
    ["the public URL with a slash", `${publicUrl}/`, "/mcp/demo", true],
    ["a configured audience", "reflow-editors", "/mcp/demo", true],
    ["the REST API", `${publicUrl}/api`, "/mcp/demo", false],
    ["somebody else", "https://other.example.com", "/mcp/demo", false],
    ["nobody", undefined, "/mcp/demo", false],
    ["the REST API", `${publicUrl}/api`, "/api", true],
    ["the REST API with a slash, which configurations may give to MCP endpoints", `${publicUrl}/api/`, "/api", false],
    ["a configured audience of the REST API", "reflow-admins", "/api", true],
    ["all MCP endpoints", publicUrl, "/api", false],
    ["a configured audience of MCP endpoints", "reflow-editors", "/api", false],
    ["a target's URL", `${publicUrl}/mcp/demo`, "/api", false],
  ])("%s (%j) at %s: %s", async (_name, aud, resource, opens) => {
    const token = await corp.sign({ aud } as JWTPayload)
    // twice: the second time it is remembered
    for (let turn = 0; turn < 2; turn++) {
      const answer = await authenticate(token, resource)
      if (opens) expect(answer).toBe("corp/alice")
      else expect(answer).toContain(`none of its audiences is ${publicUrl}${resource}`)
    }
  })
  test("that is another issuer's configured one opens nothing", async () => {
    expect(await authenticate(await partner.sign({ aud: "reflow-editors" }))).toContain("none of its audiences")
  })
})

describe("a refusal", () => {
  test("tells where the client learns who issues tokens", async () => {
    const told = await authenticate("nonsense", "/mcp/other")
    expect(told).toContain(
      `error="invalid_token", resource_metadata="${publicUrl}/.well-known/oauth-protected-resource/mcp/other"`,
    )
    expect(await authenticate("nonsense", "/api")).toContain(`${publicUrl}/.well-known/oauth-protected-resource/api"`)
  })
  test("says nothing of it for a name that no target can have", async () => {
    expect(await authenticate("nonsense", '/mcp/x"y')).not.toContain("resource_metadata")
  })
})

describe("an issuer's keys", () => {
  test("are fetched anew for a key that is not known, at most every 30 s", async () => {
    expect(await authenticate(await corp.sign())).toBe("corp/alice")
    await corp.rotate()
    await clock.advance(30_000)
    expect(await authenticate(await corp.sign({ sub: "bob" }))).toBe("corp/bob")
    const asked = corp.asked.length
    for (let turn = 0; turn < 20; turn++)
      expect(await authenticate(await corp.sign({ sub: `u${turn}` }, { kid: `invented-${turn}` }))).toContain(
        "not valid",
      )
    expect(corp.asked).toHaveLength(asked)
    await clock.advance(30_000)
    await authenticate(await corp.sign({}, { kid: "invented" }))
    expect(corp.asked).toHaveLength(asked + 2)
  })
  test("are asked for once by all who wait for them", async () => {
    const tokens = await Promise.all(Array.from({ length: 20 }, (_, turn) => corp.sign({ sub: `user-${turn}` })))
    expect(new Set(await Promise.all(tokens.map((token) => authenticate(token)))).size).toBe(20)
    expect(corp.asked).toHaveLength(2)
  })
  test("that were taken back are believed for ten minutes, not longer, however seldom tokens come", async () => {
    await authenticate(await corp.sign())
    const [old, older] = [await corp.sign({ sub: "old" }), await corp.sign({ sub: "older" })]
    await corp.rotate()
    await clock.advance(10 * minute - 1)
    expect(await authenticate(old)).toBe("corp/old")
    await clock.advance(1)
    expect(await authenticate(older)).toContain("not valid")
  })
  test("that are not known may be new ones while the issuer is away: such a token is not called invalid", async () => {
    await authenticate(await corp.sign())
    await corp.rotate()
    corp.fails = () => Promise.reject(new Error("connection refused"))
    await clock.advance(minute)
    expect(await authenticate(await corp.sign())).toContain("IssuerUnavailable")
  })
  test("go on working for a day while the issuer is away, and not longer", async () => {
    await authenticate(await corp.sign())
    corp.fails = () => Promise.reject(new Error("connection refused"))
    for (let hours = 1; hours < 24; hours++) {
      await clock.advance(hour)
      expect(await authenticate(await corp.sign({ sub: `user-${hours}` }))).toBe(`corp/user-${hours}`)
    }
    await clock.advance(hour)
    expect(await authenticate(await corp.sign({ sub: "late" }))).toContain("IssuerUnavailable")
    corp.fails = undefined
    await clock.advance(30_000)
    expect(await authenticate(await corp.sign({ sub: "late" }))).toBe("corp/late")
  })
  test("of one issuer that is away leave the other issuers' users alone", async () => {
    corp.fails = () => Promise.reject(new Error("connection refused"))
    expect(await authenticate(await corp.sign())).toContain("IssuerUnavailable: The keys of the issuer 'corp'")
    expect(await authenticate(await partner.sign())).toBe("partner/alice")
  })
  test.each<[string, () => Response]>([
    ["an error page", () => new Response("<html>", { status: 200 })],
    ["another status", () => new Response("{}", { status: 500 })],
    ["a list", () => Response.json([])],
    [
      "the metadata of another issuer",
      () => Response.json({ issuer: issuers.partner, jwks_uri: `${issuers.corp}/keys` }),
    ],
    ["keys by a weaker way", () => Response.json({ issuer: issuers.corp, jwks_uri: "http://login.example.com/keys" })],
    ["more than a megabyte", () => new Response(`{"issuer":"${"x".repeat(2 ** 20)}"}`)],
  ])("are none if it answers with %s", async (_name, answer) => {
    corp.fails = answer
    expect(await authenticate(await corp.sign())).toContain("IssuerUnavailable")
  })
})
