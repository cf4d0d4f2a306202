import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { hasCode } from "../../../src/errors.ts"
import { boundInitialize, createSealer } from "../../../src/gateway/session.ts"
import type { SessionKey } from "../../../src/gateway/session-keys.ts"
import type { Identity } from "../../../src/identity/identity.ts"

const identity = (subject: string, issuer = "static", source: Identity["source"] = "token"): Identity => ({
  source,
  issuer,
  subject,
  groups: [],
  roles: [],
  scopes: [],
  claims: {},
})
const placement = { instance: "i", instanceUID: "uid-1", incarnation: "pod-1.0", url: new URL("http://127.0.0.1/mcp") }
const keyA: SessionKey = { id: "0000000a", secret: Buffer.alloc(32, 1) }
const keyB: SessionKey = { id: "0000000b", secret: Buffer.alloc(32, 2) }
const owner = { identity: identity("alice"), targetUID: "target-1" }

const sealerWith = (keys: readonly SessionKey[], clock = { now: 1_000_000 }) =>
  createSealer({
    keys: { current: () => keys[0] ?? keyA, find: (id) => keys.find((key) => key.id === id) },
    now: () => clock.now,
    lifetimeMs: 60_000,
  })
const isGone = (attempt: () => unknown): boolean => {
  try {
    attempt()
    return false
  } catch (error) {
    return hasCode(error, "SessionNotFound")
  }
}

describe("a sealed session id", () => {
  test("opens to what was sealed, on every replica that has the key", () => {
    fc.assert(
      fc.property(fc.string(), fc.option(fc.dictionary(fc.string(), fc.string()), { nil: undefined }), (id, params) => {
        const sealed = sealerWith([keyA]).seal(owner, placement, { upstreamId: id, initialize: params })
        expect(sealed).toMatch(/^[\w-]+$/)
        const opened = sealerWith([keyB, keyA]).open(owner, sealed)
        expect(opened).toMatchObject({ sealed, upstreamId: id, instanceUID: "uid-1", incarnation: "pod-1.0" })
        expect(opened.initialize).toEqual(params === undefined ? undefined : JSON.parse(JSON.stringify(params)))
      }),
    )
  })

  test("is never the same twice", () => {
    const sealer = sealerWith([keyA])
    const once = () => sealer.seal(owner, placement, { upstreamId: "s", initialize: undefined })
    expect(once()).not.toBe(once())
  })

  test("opens for nobody else and for no other target, also after it was opened here", () => {
    const sealer = sealerWith([keyA])
    const sealed = sealer.seal(owner, placement, { upstreamId: "s", initialize: undefined })
    sealer.open(owner, sealed)
    const others = [
      { identity: identity("bob"), targetUID: "target-1" },
      { identity: identity("alice", "other"), targetUID: "target-1" },
      { identity: identity("alice", "static", "jwt"), targetUID: "target-1" },
      { identity: identity("alice"), targetUID: "target-2" },
    ]
    for (const other of others) {
      expect(isGone(() => sealer.open(other, sealed))).toBe(true)
      expect(isGone(() => sealerWith([keyA]).open(other, sealed))).toBe(true)
    }
    expect(sealer.open(owner, sealed).upstreamId).toBe("s")
  })

  test("is over after its lifetime, also when it was opened before", () => {
    const clock = { now: 1_000_000 }
    const sealer = sealerWith([keyA], clock)
    const sealed = sealer.seal(owner, placement, { upstreamId: "s", initialize: undefined })
    clock.now += 60_000
    sealer.open(owner, sealed)
    clock.now += 1
    expect(isGone(() => sealer.open(owner, sealed))).toBe(true)
  })

  test("cannot be changed in any bit", () => {
    const sealed = sealerWith([keyA]).seal(owner, placement, { upstreamId: "session", initialize: undefined })
    const bytes = Buffer.from(sealed, "base64url")
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const changed = Buffer.from(bytes)
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect(isGone(() => sealerWith([keyA, keyB]).open(owner, changed.toString("base64url")))).toBe(true)
    }
  })

  test("that is anything else is not found", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.base64String(), fc.string({ minLength: 7_000 })), (text) => {
        expect(isGone(() => sealerWith([keyA]).open(owner, text))).toBe(true)
      }),
    )
  })
})

describe("initialize parameters in a session id", () => {
  const params = {
    protocolVersion: "2025-11-25",
    capabilities: { sampling: {} },
    clientInfo: { name: "n", version: "1" },
  }

  test("are kept as they are if they fit", () => {
    expect(boundInitialize({ ...params, _meta: { x: 1 } })).toEqual(params)
  })

  test("lose what is long and not needed, such as icons", () => {
    const icons = [{ src: `data:${"x".repeat(3_000)}` }]
    expect(boundInitialize({ ...params, clientInfo: { ...params.clientInfo, icons } })).toEqual(params)
  })

  test("are left out if the needed part is too long", () => {
    expect(boundInitialize({ ...params, capabilities: { experimental: { x: "x".repeat(3_000) } } })).toBeUndefined()
  })
})
