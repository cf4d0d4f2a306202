import { type CryptoKey, exportJWK, exportSPKI, generateKeyPair, type JWTPayload, SignJWT } from "jose"
import type { ClockPort } from "../../src/ports/clock.ts"

/** An issuer of tokens in memory: what it would serve over HTTP, and what it would sign. */
export type TokenIssuer = {
  /** Serves its metadata and key set; counts how often it was asked for which URL. */
  readonly fetch: (url: string, init?: { readonly signal?: AbortSignal | null }) => Promise<Response>
  readonly asked: string[]
  /** Signs with the newest key. `change` is merged into the claims; undefined removes one. */
  sign(
    change?: JWTPayload,
    header?: { readonly alg?: string; readonly kid?: string; readonly typ?: string },
  ): Promise<string>
  /** A token signed with HMAC under the public key, as an attacker could make it. */
  signWithPublicKey(): Promise<string>
  /** A token whose header says that it needs no signature. */
  unsigned(): string
  /** Makes a new key; the former ones are served no more. */
  rotate(): Promise<void>
  /** Lets it answer with this instead; undefined = as before. */
  fails: (() => Response | Promise<Response>) | undefined
}

type Key = { readonly kid: string; readonly privateKey: CryptoKey; readonly publicKey: CryptoKey }

const makeKey = async (kid: string): Promise<Key> => ({
  kid,
  ...(await generateKeyPair("ES256", { extractable: true })),
})

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url")

/** Makes an issuer whose tokens are for `audience` and live for an hour. */
export const tokenIssuer = async (options: {
  readonly issuer: string
  readonly audience: string
  readonly clock: Pick<ClockPort, "now">
  /** Serves discovery under the path of RFC 8414 only. */
  readonly onlyRfc8414?: boolean
}): Promise<TokenIssuer> => {
  const { issuer, audience, clock } = options
  const asked: string[] = []
  let count = 1
  let key = await makeKey("key-1")

  const claims = (change: JWTPayload): JWTPayload => {
    const now = Math.floor(clock.now() / 1000)
    return { iss: issuer, sub: "alice", aud: audience, iat: now, exp: now + 3600, ...change }
  }
  const keySet = async () => ({
    keys: [{ ...(await exportJWK(key.publicKey)), kid: key.kid, alg: "ES256", use: "sig" }],
  })
  const metadataUrl = options.onlyRfc8414
    ? `${new URL(issuer).origin}/.well-known/oauth-authorization-server${new URL(issuer).pathname}`
    : `${issuer}/.well-known/openid-configuration`

  const self: TokenIssuer = {
    asked,
    fails: undefined,
    fetch: async (url) => {
      asked.push(url)
      if (self.fails !== undefined) return self.fails()
      if (url === metadataUrl) return Response.json({ issuer, jwks_uri: `${issuer}/keys` })
      if (url === `${issuer}/keys`) return Response.json(await keySet())
      return new Response("", { status: 404 })
    },
    sign: (change = {}, header = {}) =>
      new SignJWT(claims(change)).setProtectedHeader({ alg: "ES256", kid: key.kid, ...header }).sign(key.privateKey),
    signWithPublicKey: async () =>
      new SignJWT(claims({}))
        .setProtectedHeader({ alg: "HS256", kid: key.kid })
        .sign(Buffer.from(await exportSPKI(key.publicKey))),
    unsigned: () => `${encode({ alg: "none", kid: key.kid })}.${encode(claims({}))}.`,
    rotate: async () => {
      key = await makeKey(`key-${++count}`)
    },
  }
  return self
}
