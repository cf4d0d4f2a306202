import { generateKeyPairSync } from "node:crypto"
import { expect, test } from "vitest"
import { fetchDocument } from "../../../src/identity/issuer-document.ts"
import { createIssuerKeys } from "../../../src/identity/issuer-keys.ts"
import { quietTelemetry } from "../../support/quiet-telemetry.ts"

const url = "https://login.example.com/keys"
const { signal } = new AbortController()
const read = (text: string) => fetchDocument(async () => new Response(text), url, signal)
/** Why a document is refused. */
const reason = (text: string): Promise<unknown> =>
  read(text).then(
    () => undefined,
    (error: Error) => (error.cause as Error).message,
  )

test("a document of an issuer is an object of so many members, levels and bytes", async () => {
  expect(await read('{"issuer":"https://login.example.com"}')).toEqual({ issuer: "https://login.example.com" })
  const members = (count: number) => `{"keys":[${Array.from({ length: count - 1 }, () => 1)}]}`
  expect(await reason(members(50_000))).toBeUndefined()
  expect(await reason(members(50_001))).toMatch(/^it has more than 50,000 members/)
  expect(await reason(`{"a":${"[".repeat(31)}${"]".repeat(31)}}`)).toBeUndefined()
  expect(await reason(`{"a":${"[".repeat(32)}${"]".repeat(32)}}`)).toMatch(/^it is nested deeper than 32 levels/)
  expect(await reason(`{"a":"${"x".repeat(2 ** 20)}"}`)).toBe("it is larger than 1048576 bytes")
  expect(await reason("[]")).toBe("it is not a JSON object")
})

test("a key set has 100 keys at most, since a token without a key id is checked with each", async () => {
  const jwk = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ format: "jwk" })
  const keysOf = (count: number) =>
    createIssuerKeys({
      fetch: async () => Response.json({ keys: Array.from({ length: count }, () => jwk) }),
      clock: { now: () => 0 },
      log: quietTelemetry().log,
      issuer: { name: "corp", issuer: "https://login.example.com", jwks_url: url },
    })
  expect(await keysOf(100).keysFor({ alg: "ES256" })).toHaveLength(100)
  await expect(keysOf(101).keysFor({ alg: "ES256" })).rejects.toMatchObject({ code: "IssuerUnavailable" })
})
