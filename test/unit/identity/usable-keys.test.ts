import { generateKeyPairSync, type KeyObject } from "node:crypto"
import { expect, test } from "vitest"
import { usableKeys } from "../../../src/identity/jwt-issuers.ts"

const jwk = (key: KeyObject, more: object = {}) => ({ ...key.export({ format: "jwk" }), ...more })
const rsa = (modulusLength: number) => generateKeyPairSync("rsa", { modulusLength }).publicKey
const ec = (namedCurve: string) => generateKeyPairSync("ec", { namedCurve }).publicKey
const rs = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]

test.each<[string, () => object, readonly string[]]>([
  ["an RSA key without an algorithm", () => jwk(rsa(2048)), rs],
  ["an RSA key of one algorithm", () => jwk(rsa(2048), { alg: "PS256", use: "sig", kid: "a" }), ["PS256"]],
  ["an RSA key that is too short", () => jwk(rsa(1024)), []],
  ["a key for encryption", () => jwk(rsa(2048), { use: "enc" }), []],
  ["a key of an algorithm for encryption", () => jwk(rsa(2048), { alg: "RSA-OAEP" }), []],
  ["an EC key", () => jwk(ec("P-256")), ["ES256"]],
  ["an EC key of a curve that is not accepted", () => jwk(ec("secp256k1")), []],
  ["an Ed25519 key", () => jwk(generateKeyPairSync("ed25519").publicKey), ["EdDSA", "Ed25519"]],
  ["a secret for HMAC", () => ({ kty: "oct", k: "c2VjcmV0", alg: "HS256" }), []],
  ["a broken key", () => ({ kty: "RSA", n: "AQAB" }), []],
])("%s is usable for what the gateway checks with it", async (_name, make, algorithms) => {
  const usable = algorithms.length === 0 ? 0 : 1
  expect(await usableKeys({ keys: [make()] })).toEqual({ total: 1, usable, algorithms })
})

test("of several keys each is looked at, and their algorithms are put together", async () => {
  const keys = [
    jwk(ec("P-256"), { kid: "1" }),
    jwk(ec("P-256"), { kid: "2" }),
    jwk(rsa(2048), { alg: "RS256" }),
    { kty: "oct" },
  ]
  expect(await usableKeys({ keys })).toEqual({ total: 4, usable: 3, algorithms: ["RS256", "ES256"] })
})

test.each([{}, { keys: {} }, { keys: [7] }, { keys: Array(101).fill({ kty: "EC" }) }])(
  "what is no key set is told with a reason: %#",
  async (document) => {
    await expect(usableKeys(document)).rejects.toThrow(/./)
  },
)
