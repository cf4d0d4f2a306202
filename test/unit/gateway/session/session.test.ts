import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { hasCode } from "../../../../src/errors.ts"
import { boundInitialize, createSealer } from "../../../../src/gateway/session/session.ts"
import type { SessionKey } from "../../../../src/gateway/session/session-keys.ts"
import type { Identity } from "../../../../src/identity/identity.ts"

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

/** A sealer of a replica that knows `keys`; `more` are those that it learns when it looks a key up. */
const sealerWith = (keys: readonly SessionKey[], clock = { now: 1_000_000 }, more: readonly SessionKey[] = []) =>
  createSealer({
    keys: {
      current: () => keys[0] ?? keyA,
      find: (id) => keys.find((key) => key.id === id),
      lookUp: async (id) => more.find((key) => key.id === id),
    },
    now: () => clock.now,
    lifetimeMs: 60_000,
  })
const isGone = async (attempt: () => unknown): Promise<boolean> => {
  try {
    await attempt()
    return false
  } catch (error) {
    return hasCode(error, "SessionNotFound")
  }
}

describe("a sealed session id", () => {
  test("opens to what was sealed, on every replica that has the key", async () => {
    const someParams = fc.option(fc.dictionary(fc.string(), fc.string()), { nil: undefined })
    await fc.assert(
      fc.asyncProperty(fc.string(), someParams, async (id, params) => {
        const sealed = sealerWith([keyA]).seal(owner, placement, { upstreamId: id, initialize: params })
        expect(sealed).toMatch(/^[\w-]+$/)
        const opened = await sealerWith([keyB, keyA]).open(owner, sealed)
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

  test("opens for nobody else and for no other target, also after it was opened here", async () => {
    const sealer = sealerWith([keyA])
    const sealed = sealer.seal(owner, placement, { upstreamId: "s", initialize: undefined })
    await sealer.open(owner, sealed)
    const others = [
      { identity: identity("bob"), targetUID: "target-1" },
      { identity: identity("alice", "other"), targetUID: "target-1" },
      { identity: identity("alice", "static", "jwt"), targetUID: "target-1" },
      { identity: identity("alice"), targetUID: "target-2" },
    ]
    for (const other of others) {
      expect(await isGone(() => sealer.open(other, sealed))).toBe(true)
      expect(await isGone(() => sealerWith([keyA]).open(other, sealed))).toBe(true)
    }
    expect(await sealer.open(owner, sealed)).toMatchObject({ upstreamId: "s" })
  })

  test("is over after its lifetime, also when it was opened before", async () => {
    const clock = { now: 1_000_000 }
    const sealer = sealerWith([keyA], clock)
    const sealed = sealer.seal(owner, placement, { upstreamId: "s", initialize: undefined })
    clock.now += 60_000
    await sealer.open(owner, sealed)
    clock.now += 1
    expect(await isGone(() => sealer.open(owner, sealed))).toBe(true)
  })

  test("of a key that this replica does not know yet opens once the key is looked up, and is no one else's", async () => {
    const sealed = sealerWith([keyB]).seal(owner, placement, { upstreamId: "s", initialize: undefined })
    const late = sealerWith([keyA], undefined, [keyA, keyB])
    expect(await late.open(owner, sealed)).toMatchObject({ upstreamId: "s" })
    const other = { identity: identity("bob"), targetUID: "target-1" }
    expect(await isGone(() => late.open(other, sealed))).toBe(true)
    expect(await isGone(() => sealerWith([keyA]).open(owner, sealed))).toBe(true)
  })

  test("is over when its key is retired, also when it was opened before", async () => {
    const keys = [keyA, keyB]
    const sealer = sealerWith(keys)
    const sealed = sealer.seal(owner, placement, { upstreamId: "s", initialize: undefined })
    await sealer.open(owner, sealed)
    keys.shift()
    expect(await isGone(() => sealer.open(owner, sealed))).toBe(true)
  })

  test("that is no sealed id at all looks no key up", async () => {
    const asked: string[] = []
    const keys = {
      current: () => keyA,
      find: () => undefined,
      lookUp: async (id: string) => void asked.push(id),
    }
    const sealer = createSealer({ keys, now: () => 0, lifetimeMs: 60_000 })
    for (const text of ["", "x", "not base64!", "A".repeat(42), "A".repeat(6_145)])
      expect(await isGone(() => sealer.open(owner, text))).toBe(true)
    expect(asked).toEqual([])
  })

  test("cannot be changed in any bit", async () => {
    const sealed = sealerWith([keyA]).seal(owner, placement, { upstreamId: "session", initialize: undefined })
    const bytes = Buffer.from(sealed, "base64url")
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const changed = Buffer.from(bytes)
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect(await isGone(() => sealerWith([keyA, keyB]).open(owner, changed.toString("base64url")))).toBe(true)
    }
  })

  test("that is anything else is not found", async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.string(), fc.base64String(), fc.string({ minLength: 7_000 })), async (text) => {
        expect(await isGone(() => sealerWith([keyA]).open(owner, text))).toBe(true)
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
