import fc from "fast-check"
import { expect, test } from "vitest"
import {
  digest,
  instanceName,
  podName,
  scopeSecretName,
  secretName,
  targetNamePattern,
} from "../../../src/api/names.ts"

/** DNS-1035, since the Service takes the instance's name. */
const label = /^[a-z]([-a-z0-9]*[a-z0-9])?$/
const letter = fc.constantFrom(..."abcxyz")
const inner = fc.string({ unit: fc.constantFrom(..."abcxyz0189-"), maxLength: 38 })
const end = fc.constantFrom(..."az09")

/** Any name that a target may have, long ones and those with hyphens where the cut falls among them. */
const targetName = fc.oneof(
  fc.tuple(letter, inner, end).map((parts) => parts.join("")),
  letter,
  fc.integer({ min: 1, max: 38 }).map((hyphens) => `a${"-".repeat(hyphens)}z`),
)
/** Subject keys as strategies of plugins may make them. */
const subjectKey = fc.oneof(
  fc.string({ minLength: 1, maxLength: 253, unit: "binary" }),
  fc.tuple(fc.constantFrom("user", "group", "role", "shared", "key"), fc.string()).map((parts) => parts.join(":")),
)
const uid = fc.uuid()
const sharer = fc.tuple(targetName, uid, subjectKey)

test("a text without a UTF-8 of its own is never digested: two of them would be one", () => {
  for (const half of ["\ud83d", "\ude00", "a\ud83db", "\ude00\ud83d"]) {
    const refused = expect.objectContaining({ code: "Internal" })
    expect(() => digest(26, "jwt", "corp", half)).toThrow(refused)
    expect(() => instanceName("github", "uid", `key:${half}`)).toThrow(refused)
    expect(() => scopeSecretName("github", "group", { issuer: "corp", name: half })).toThrow(refused)
  }
  expect(digest(26, "\ud83d\ude00")).not.toBe(digest(26, "\ud83e\ude00"))
})

test("a digest's parts are never other parts: what holds a NUL is the last of them", () => {
  expect(() => digest(26, "a\0b", "c")).toThrow(expect.objectContaining({ code: "Internal" }))
  const part = fc.string({ unit: fc.constantFrom("a", "b", "\0"), maxLength: 3 })
  const parts = fc.tuple(part, part).filter(([first]) => !first.includes("\0"))
  fc.assert(
    fc.property(parts, parts, (one, other) => {
      expect(digest(26, ...one) === digest(26, ...other)).toBe(JSON.stringify(one) === JSON.stringify(other))
    }),
  )
})

test("the generated names are names that a target may have", () => {
  fc.assert(fc.property(targetName, (name) => targetNamePattern.test(name)))
})

test("an instance's name is a DNS-1035 label of at most 57 characters, the same each time", () => {
  fc.assert(
    fc.property(sharer, (input) => {
      const name = instanceName(...input)
      expect(name).toMatch(label)
      expect(name.length).toBeLessThanOrEqual(57)
      expect(instanceName(...input)).toBe(name)
    }),
  )
})

test("an instance's name begins with its target's, cut to 34, and says whose kind it is", () => {
  fc.assert(
    fc.property(sharer, ([target, targetUID, key]) => {
      const name = instanceName(target, targetUID, key)
      const kind = /-(user|group|role|shared|key)-[a-z2-7]{15}$/.exec(name)
      expect(kind).not.toBeNull()
      expect(target.startsWith(name.slice(0, kind?.index))).toBe(true)
      expect(name.slice(0, kind?.index)).toBe(target.slice(0, 34).replace(/-+$/, ""))
      expect(kind?.[1]).toBe(/^(user|group|role|shared)(:|$)/.exec(key)?.[1] ?? "key")
    }),
  )
})

test("another target, a target that was created again or another sharer is another name", () => {
  fc.assert(
    fc.property(sharer, sharer, (one, other) => {
      fc.pre(one[1] !== other[1] || one[2] !== other[2])
      expect(instanceName(...one)).not.toBe(instanceName(...other))
    }),
  )
})

test("targets that are alike in their first 34 characters keep their instances apart", () => {
  fc.assert(
    fc.property(uid, uid, subjectKey, (one, other, key) => {
      fc.pre(one !== other)
      const start = "x".repeat(34)
      expect(instanceName(`${start}-one`, one, key)).not.toBe(instanceName(`${start}-two`, other, key))
    }),
  )
})

test("subjects whose readable forms are alike keep their instances apart", () => {
  const keys = ["user:ann.b", "user:ann-b", "user:Ann-b", "user:ann-b ", "user:ann_b", "user:ann-b\0", "user:annｂ"]
  expect(new Set(keys.map((key) => instanceName("t", "u", key))).size).toBe(keys.length)
})

test("a key with NULs cannot pose as another sharer of a target that was created again", () => {
  // 36 characters of a UID and the first NUL end the first part, whatever follows
  fc.assert(
    fc.property(uid, uid, subjectKey, (one, other, key) => {
      fc.pre(one !== other)
      expect(instanceName("t", one, `${other}\0${key}`)).not.toBe(instanceName("t", other, key))
      expect(instanceName("t", one, `${key}\0`)).not.toBe(instanceName("t", one, key))
    }),
  )
})

test("a Pod's name fits a label value, stays the same for one start and differs from start to start", () => {
  fc.assert(
    fc.property(sharer, uid, fc.nat(10_000), (input, instanceUID, start) => {
      const instance = instanceName(...input)
      const name = podName(instance, instanceUID, start)
      expect(name).toMatch(label)
      expect(name.length).toBeLessThanOrEqual(63)
      expect(name).toBe(podName(instance, instanceUID, start))
      expect(name).not.toBe(podName(instance, instanceUID, start + 1))
    }),
  )
})

test("each composition of an instance's credentials has a name of its own", () => {
  fc.assert(
    fc.property(sharer, (input) => {
      const instance = instanceName(...input)
      expect(secretName(instance)).toMatch(label)
      expect(secretName(instance).length).toBeLessThanOrEqual(63)
      expect(new Set([1, 2, 3].map(() => secretName(instance))).size).toBe(3)
    }),
    { numRuns: 20 },
  )
})

test("a scope's Secret is named by target, scope and who", () => {
  expect(scopeSecretName("github", "default")).toBe("github-env-default")
  const who = fc.record({ issuer: fc.string({ minLength: 1 }), name: fc.string({ minLength: 1 }) })
  fc.assert(
    fc.property(targetName, who, who, (target, one, other) => {
      const name = scopeSecretName(target, "user", one)
      expect(name).toMatch(label)
      expect(name.length).toBeLessThanOrEqual(253)
      expect(name).not.toBe(scopeSecretName(target, "group", one))
      fc.pre(`${one.issuer}\0${one.name}` !== `${other.issuer}\0${other.name}`)
      expect(name).not.toBe(scopeSecretName(target, "user", other))
    }),
  )
})

test("a digest is as many base32 characters of SHA-256 as asked for", () => {
  // echo -n "abc" | sha256sum | xxd -r -p | base32
  expect(digest(51, "abc")).toBe("xj4bnp4pahh6uqkbidpf3lrceoyagyndsylxvhfucd7wd4qacwwq".slice(0, 51))
  expect(digest(5, "a", "b")).toBe(digest(5, "a\0b"))
})
