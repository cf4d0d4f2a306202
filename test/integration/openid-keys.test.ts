/** The authenticator against the keys of a real OpenID provider, with a clock that the test turns. */
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { configSchema } from "../../src/config/schema.ts"
import { isAppError } from "../../src/errors.ts"
import { createAuthenticator } from "../../src/identity/authenticate.ts"
import { createJwtIssuers } from "../../src/identity/jwt-issuers.ts"
import { createProtectedResources } from "../../src/identity/protected-resources.ts"
import { type FakeClock, fakeClock } from "../support/fake-clock.ts"
import { type OpenIdProvider, startOpenIdProvider } from "../support/openid-provider.ts"
import { quietTelemetry } from "../support/quiet-telemetry.ts"

const publicUrl = "https://mcp.example.com"
const minute = 60_000

let provider: OpenIdProvider
let clock: FakeClock
/** Who the token is for the gateway, or why it is nobody. */
let whoIs: (token: string) => Promise<string>

beforeEach(async () => {
  provider = await startOpenIdProvider()
  clock = fakeClock(Date.now())
  const telemetry = quietTelemetry()
  const { auth } = configSchema.parse({ auth: { issuers: [{ name: "corp", issuer: provider.issuer }] } })
  const authenticator = createAuthenticator({
    tokens: [],
    issuers: {
      tokens: createJwtIssuers(auth.issuers, { fetch, clock, log: telemetry.log }),
      resources: createProtectedResources({ publicUrl, issuers: [{ issuer: provider.issuer, scopes: [] }] }),
      publicUrl,
    },
    clock,
    telemetry,
  })
  whoIs = async (token) => {
    try {
      const use = { purpose: "mcp", resource: "/mcp/demo" } as const
      const { issuer, subject } = await authenticator.authenticate({ authorization: `Bearer ${token}`, ...use })
      return `${issuer}/${subject}`
    } catch (error) {
      if (!isAppError(error)) throw error
      return `${error.code}: ${error.message}`
    }
  }
})
afterEach(async () => {
  await provider.stop()
})

const tokenOf = (login: string, resource = `${publicUrl}/mcp/demo`) => provider.token(resource, login)

describe("a token of a real provider", () => {
  test("is its user", async () => {
    expect(await whoIs(await tokenOf("alice"))).toBe("corp/alice")
  })
  test("for another resource is refused", async () => {
    expect(await whoIs(await tokenOf("alice", `${publicUrl}/mcp/other`))).toContain("none of its audiences")
  })
  test("is refused when it has expired, also if it was checked before", async () => {
    const token = await tokenOf("alice")
    expect(await whoIs(token)).toBe("corp/alice")
    await clock.advance(62 * minute)
    expect(await whoIs(token)).toContain("has expired")
  })
  test("that somebody changed is refused", async () => {
    const [header, payload = "", signature] = (await tokenOf("alice")).split(".")
    const claims = JSON.parse(Buffer.from(payload, "base64url").toString())
    const forged = Buffer.from(JSON.stringify({ ...claims, sub: "root" })).toString("base64url")
    expect(await whoIs(`${header}.${forged}.${signature}`)).toContain("not valid")
  })
})

describe("a provider that rotates its keys", () => {
  test("is believed as soon as a token of the new key comes", async () => {
    expect(await whoIs(await tokenOf("alice"))).toBe("corp/alice")
    await provider.rotate()
    await clock.advance(minute)
    expect(await whoIs(await tokenOf("bob"))).toBe("corp/bob")
  })
})

describe("a provider that is away", () => {
  test("leaves those in whose keys are known, and lets the others in when it is back", async () => {
    const [alice, bob] = [await tokenOf("alice"), await tokenOf("bob")]
    expect(await whoIs(alice)).toBe("corp/alice")
    await provider.stop()
    await clock.advance(30 * minute)
    expect(await whoIs(alice)).toBe("corp/alice")
    expect(await whoIs(bob)).toBe("corp/bob")
    await provider.start()
  })
  test("from the beginning is told as what it is", async () => {
    const token = await tokenOf("alice")
    await provider.stop()
    expect(await whoIs(token)).toContain("IssuerUnavailable")
    await provider.start()
    await clock.advance(minute)
    expect(await whoIs(token)).toBe("corp/alice")
  })
})
