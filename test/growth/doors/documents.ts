import { generateKeyPairSync } from "node:crypto"
import { setImmediate as turn } from "node:timers/promises"
import { fetchDocument } from "../../../src/identity/issuer-document.ts"
import { createIssuerKeys } from "../../../src/identity/issuer-keys.ts"
import { quietTelemetry } from "../../support/quiet-telemetry.ts"
import type { Door, Family } from "../family.ts"

const mebibyte = 2 ** 20
const { signal } = new AbortController()

/** What an issuer answers, in pieces of `length` bytes. */
const answer = (text: string, length = 65_536): Response => {
  const bytes = Buffer.from(text)
  let at = 0
  const pull = async (controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> => {
    if (at >= bytes.length) return controller.close()
    controller.enqueue(Uint8Array.from(bytes.subarray(at, at + length)))
    at += length
    if (at % 65_536 === 0) await turn()
  }
  return new Response(new ReadableStream({ pull }))
}

const document = (name: string, text: (size: number) => string, length?: number, largest = mebibyte): Family => ({
  name,
  largest,
  make: (size) => {
    const body = text(size)
    return async () => {
      try {
        await fetchDocument(async () => answer(body, length), "https://login.example.com", signal)
      } catch {
        // refused
      }
    }
  },
})

const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 })
const jwk = publicKey.export({ format: "jwk" })
const issuer = { name: "corp", issuer: "https://login.example.com", jwks_url: "https://login.example.com/keys" }

/** A token without a key id comes, and every key of the set may be the one. */
const keySet = (name: string, keyOf: (at: number) => object): Family => ({
  name,
  largest: 96,
  parts: 16,
  make: (size) => {
    const body = JSON.stringify({ keys: Array.from({ length: size }, (_, at) => keyOf(at)) })
    return async () => {
      const keys = createIssuerKeys({
        fetch: async () => answer(body),
        clock: { now: () => 0 },
        log: quietTelemetry().log,
        issuer,
      })
      for (let time = 0; time < 20; time++) await keys.keysFor({ alg: "RS256" })
      keys.close()
    }
  },
})

export const doors: readonly Door[] = [
  {
    name: "documents of an issuer",
    limit: "1 MiB, 50,000 members and elements, 32 levels, 100 keys",
    families: [
      document("pieces of one byte", (size) => `{"a":"${"x".repeat(size - 8)}"}`, 1, mebibyte / 4),
      document("open arrays", (size) => "[".repeat(size)),
      document("levels up to the limit, again and again", (size) => `{"a":[${"[[[[[[]]]]]],".repeat(size / 13)}1]}`),
      document("members", (size) => `{${Array.from({ length: size }, (_, at) => `"k${at}":1`)}}`, undefined, 50_000),
      document(
        "keys of numbers",
        (size) => `{${Array.from({ length: size }, (_, at) => `"${at}":1`)}}`,
        undefined,
        50_000,
      ),
      document("a string of escapes", (size) => `{"a":"${"\\u0041".repeat(size / 6)}"}`),
      keySet("keys without an id", () => ({ ...jwk, alg: "RS256", use: "sig" })),
      keySet("keys of one id, of which none fits", (at) => ({
        ...jwk,
        alg: at % 2 === 0 ? "ES256" : "PS256",
        kid: "a",
      })),
    ],
  },
]
