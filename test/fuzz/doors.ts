import { createHash } from "node:crypto"
import { posix } from "node:path"
import fc from "fast-check"
import { expect } from "vitest"
import { isNormalPath } from "../../src/door/guard.ts"
import { hasCode } from "../../src/errors.ts"
import { targetNameIn } from "../../src/gateway/incoming.ts"
import { createSealer } from "../../src/gateway/session/session.ts"
import { createAuthenticator } from "../../src/identity/authenticate.ts"
import type { Identity } from "../../src/identity/identity.ts"
import { quietTelemetry } from "../support/quiet-telemetry.ts"
import type { FuzzProperty } from "./property.ts"

const identity = (subject: string): Identity => ({
  source: "token",
  issuer: "static",
  subject,
  groups: [],
  roles: [],
  scopes: [],
  claims: {},
})
const key = { id: "00c0ffee", secret: Buffer.alloc(32, 7) }
const sealer = createSealer({
  keys: { current: () => key, find: (id) => (id === key.id ? key : undefined), lookUp: async () => undefined },
  now: () => 1_000,
  lifetimeMs: 60_000,
})
const placement = { instance: "i", instanceUID: "u", incarnation: "p.0", url: new URL("http://127.0.0.1/mcp") }
const owner = (subject: string, targetUID = "t") => ({ identity: identity(subject), targetUID })

/** What is opened of a text; undefined if it is not found. Any other failure is a bug. */
const opened = (subject: string, sealed: string): string | undefined => {
  try {
    const session = sealer.open(owner(subject), sealed)
    if (!(session instanceof Promise)) return session.upstreamId
    // of a key that nobody knows: it is looked up, and not found
    session.catch(() => {})
    return undefined
  } catch (error) {
    expect(hasCode(error, "SessionNotFound")).toBe(true)
    return undefined
  }
}

const changes = fc.array(fc.tuple(fc.nat(), fc.constantFrom(..."AZaz09-_+/=. \n", "é", "")), {
  minLength: 1,
  maxLength: 4,
})
const changed = (text: string, places: readonly (readonly [number, string])[]): string => {
  const letters = [...text]
  for (const [place, letter] of places) letters[place % letters.length] = letter
  return letters.join("")
}

const token = "token-0123456789.abc"
const authenticator = createAuthenticator({
  tokens: [
    {
      name: "one",
      sha256: createHash("sha256").update(token).digest("hex"),
      subject: "alice",
      groups: [],
      roles: [],
      for: ["mcp"],
    },
  ],
  clock: { now: () => 0 } as never,
  telemetry: quietTelemetry(),
  dev: Buffer.alloc(32, 1),
})
const headers = fc.oneof(
  fc
    .tuple(
      fc.constantFrom("Bearer ", "bearer ", "BEARER ", "Bearer  ", "Bearer\t", "Basic ", "", "Bearer"),
      fc.constantFrom(token, `${token}=`, token.toUpperCase(), `${token},${token}`),
    )
    .map((parts) => parts.join("")),
  changes.map((places) => changed(`Bearer ${token}`, places)),
  fc.array(fc.base64String(), { maxLength: 4 }).map((parts) => `Bearer ${parts.join(".")}`),
  fc.string({ unit: "binary" }),
)

const pathPiece = fc.oneof(
  fc.constantFrom(
    "/",
    "/",
    ".",
    "..",
    "%2e",
    "%2E",
    "%2f",
    "%2F",
    "%5c",
    "%00",
    "%25",
    "%252e",
    "\\",
    "?",
    "#",
    ";",
    "%",
    "%c3%a9",
  ),
  fc.constantFrom("mcp", "api", "/api/targets/x/env/group/kc/", "a", "é", " ", "\t", "@", "\u2024", "\uff0e"),
  fc.string({ maxLength: 2 }),
)

export const doorProperties: readonly FuzzProperty[] = [
  {
    name: "a changed session id opens nothing else than what was sealed, and nothing for others",
    property: fc.property(fc.string(), changes, (upstreamId, places) => {
      const sealed = sealer.seal(owner("alice"), placement, { upstreamId, initialize: undefined })
      const text = changed(sealed, places)
      expect([undefined, upstreamId]).toContain(opened("alice", text))
      expect(opened("bob", text)).toBeUndefined()
      expect(opened("bob", sealed)).toBeUndefined()
      expect(opened("alice", sealed)).toBe(upstreamId)
    }),
  },
  {
    name: "an invented session id opens nothing",
    property: fc.property(
      fc.oneof(
        fc.string({ unit: "binary" }),
        fc.base64String({ maxLength: 200 }),
        fc.uint8Array().map((bytes) => Buffer.concat([Buffer.from(key.id, "hex"), bytes]).toString("base64url")),
      ),
      (text) => {
        expect(opened("alice", text)).toBeUndefined()
      },
    ),
  },
  {
    name: "an Authorization header lets in only whoever shows the whole token, and is never repeated",
    property: fc.property(headers, (authorization) => {
      const isIt = /^bearer +(.*)$/is.exec(authorization)?.[1] === token
      try {
        const found = authenticator.authenticate({ authorization, purpose: "mcp", resource: "/mcp/demo" })
        // a promise is a signature that is looked at: that of the embedded default, which nobody here has
        if (found instanceof Promise) found.catch(() => {})
        else expect([isIt, found.subject]).toEqual([true, "alice"])
      } catch (error) {
        expect(isIt).toBe(false)
        expect(hasCode(error, "Unauthenticated")).toBe(true)
        expect(String(error)).not.toContain(token)
      }
    }),
  },
  {
    name: "a path that is let in is one path to every router, and names one target",
    property: fc.property(fc.array(pathPiece, { maxLength: 8 }), (pieces) => {
      const url = `/${pieces.join("")}`
      if (!isNormalPath(url)) return
      const [path = ""] = url.split("?")
      expect(new URL(url, "http://x").pathname).toBe(path)
      const decoded = decodeURIComponent(path)
      expect(posix.normalize(path)).toBe(path)
      if (!path.startsWith("/api/targets/")) expect(posix.normalize(decoded)).toBe(decoded)
      expect(decoded.split(/[/\\]/)).not.toContain("..")
      expect(decoded).not.toContain("\0")
      const name = targetNameIn(url)
      // one slash behind the name is the same target: some servers, and so their clients, write it
      if (name !== undefined) expect([`/mcp/${name}`, `/mcp/${name}/`]).toContain(path)
      if (name !== undefined) expect(decodeURIComponent(name)).not.toMatch(/[/\\]/)
    }),
  },
]
