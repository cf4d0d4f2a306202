/** Nobody gets another user's subject key by what they can put into their own claims. */
import fc from "fast-check"
import { beforeAll, describe, expect, test } from "vitest"
import { systemClock } from "../../../src/adapters/system/clock.ts"
import { isAppError } from "../../../src/errors.ts"
import { subjectKeyFor } from "../../../src/identity/subject-key.ts"
import { builtinPlugins } from "../../../src/plugin/builtin.ts"
import type { PluginIdentity } from "../../../src/plugin/contract.ts"
import { createPluginHost, type PluginHost } from "../../../src/plugin/host.ts"
import { aTarget } from "../../support/build/target.ts"
import { callerWith } from "../../support/builtin-host.ts"
import { quietTelemetry } from "../../support/quiet-telemetry.ts"

let host: PluginHost
beforeAll(async () => {
  const bare = { api: 1, name: "bare", setup: () => ({ subjectKeys: { claim: byClaim } }) }
  const byClaim = ({ identity }: { readonly identity: PluginIdentity }) => identity.claims.value
  const loaded = { firstParty: true, config: {}, readable: [] }
  host = await createPluginHost(
    [
      { ...loaded, source: "claim", exported: builtinPlugins.claim },
      { ...loaded, source: "template", exported: builtinPlugins.template },
      { ...loaded, source: "bare", exported: bare, firstParty: false },
    ],
    { clock: systemClock, telemetry: quietTelemetry() },
  )
})

/** The subject key that decides on the instance; undefined for those who are denied or refused. */
const keyOf = (strategy: string, config: Record<string, unknown>, who: PluginIdentity): string | undefined => {
  const target = aTarget({ spec: { subjectKey: { strategy, config } } })
  try {
    const key = subjectKeyFor(target, who, { issuers: ["corp", "partner"], strategies: host.subjectKey })
    if (key instanceof Promise) throw new Error("these strategies answer at once")
    return key
  } catch (error) {
    if (isAppError(error) && ["SubjectKeyDenied", "PluginFailed"].includes(error.code)) return undefined
    throw error
  }
}

/** Texts that look alike, that look like what joins texts, and anything else. */
const text = fc.oneof(
  fc.constantFrom("", " ", "a", "A", "a ", "ab", "a-b", "-", "null", "undefined", "[object Object]", "\0", "\0a"),
  fc.constantFrom('"', '","', '\\"', "\\", "\\u0000", '["corp","a"]', "corp", "partner", "%00", "a,b", "a\nb"),
  fc.constantFrom("\u212A", "k", "ſ", "é", "e\u0301", "ﬁ", "ı", "İ", "ß", "\u200B", "а", "a@a", "b@A", "@a", "a@"),
  fc.constantFrom("\ud800", "\udc00", "\ufffd", "\ud800\udc00"),
  fc.string({ unit: "binary", maxLength: 20 }),
  fc.string({ unit: "grapheme", maxLength: 20 }),
)
const values = fc.oneof(text, text, text, fc.anything())
const caller = fc.record({
  issuer: fc.constantFrom("corp", "partner"),
  one: values,
  two: values,
})
type Caller = { readonly issuer: string; readonly one: unknown; readonly two: unknown }
const identityOf = ({ issuer, one, two }: Caller) => callerWith({ one, two, value: one }, { issuer })

/** What looks like one, to people or to a careless comparison. */
const alike = fc.constantFrom(
  ["\u212A", "k"],
  ["K", "k"],
  ["x@\u212A", "x@k"],
  ["k", "x@k"],
  ["é", "e\u0301"],
  ["É", "é"],
  ["ﬁ", "fi"],
  ["ß", "SS"],
  ["а", "a"],
  ["a", "a "],
  ["a", "a\0"],
  ["a", "a\u200B"],
  ["\ud800", "\ufffd"],
  ["1", 1],
  ["null", null],
  ["a", ["a"]],
  ["a", { toString: () => "a" }],
)
/** Two people in all, two who look alike in one claim, and two whose claims are cut in another place. */
const pairs = fc.oneof(
  fc.tuple(caller, caller),
  fc.tuple(caller, alike).map(
    ([who, [one, other]]) =>
      [
        { ...who, one },
        { ...who, one: other },
      ] as const,
  ),
  fc.tuple(caller, text, text, fc.constantFrom("", "-", ",", '","')).map(
    ([who, first, second, between]) =>
      [
        { ...who, one: `${first}${between}`, two: second },
        { ...who, one: first, two: `${between}${second}` },
      ] as const,
  ),
)

/** Holds the keys of two callers against whether what the strategy looks at is the same, as `facts` says it. */
const holdsFor = (
  strategy: string,
  config: Record<string, unknown>,
  facts: (who: Caller) => readonly unknown[] | undefined,
) =>
  fc.assert(
    fc.property(pairs, ([left, right]) => {
      const [mine, theirs] = [left, right].map((who) => keyOf(strategy, config, identityOf(who)))
      const [own, other] = [left, right].map(facts)
      expect(mine === undefined).toBe(own === undefined)
      expect(theirs === undefined).toBe(other === undefined)
      if (own === undefined || other === undefined) return
      expect(mine === theirs).toBe(own.every((each, index) => each === other[index]))
    }),
    { numRuns: 2_000 },
  )

const isText = (value: unknown): value is string => typeof value === "string" && value !== "" && value.isWellFormed()
/** A-Z as a-z, letter by letter. */
const small = (value: string) =>
  [...value].map((each) => (each >= "A" && each <= "Z" ? String.fromCodePoint((each.codePointAt(0) ?? 0) + 32) : each))

describe("two callers have one subject key only if", () => {
  test("issuer and claim are the same", () => {
    holdsFor("claim", { claim: "one" }, ({ issuer, one }) => (isText(one) ? [issuer, one] : undefined))
  })
  test("the claim is the same, where issuers are not kept apart", () => {
    holdsFor("claim", { claim: "one", across_issuers: true }, ({ one }) => (isText(one) ? [one] : undefined))
  })
  test.each(["{{one}}{{two}}", "{{one}}-{{two}}", '{{one}}","{{two}}'])(
    "issuer and both claims are the same, for the template %s",
    (template) => {
      holdsFor("template", { template }, ({ issuer, one, two }) =>
        isText(one) && isText(two) ? [issuer, one, two] : undefined,
      )
    },
  )
  test("the claims differ in nothing but A to Z and a to z, with the filter lower", () => {
    holdsFor("template", { template: "{{one | lower}}" }, ({ issuer, one }) =>
      isText(one) ? [issuer, small(one).join("")] : undefined,
    )
  })
  test("the mail addresses have one domain, with the filter domain; what is no address denies", () => {
    holdsFor("template", { template: "{{one | domain}}" }, ({ issuer, one }) => {
      if (!isText(one)) return undefined
      const parts = one.split("@")
      const last = parts.at(-1) ?? ""
      return parts.slice(0, -1).join("@") === "" || last === "" ? undefined : [issuer, small(last).join("")]
    })
  })
  test("a strategy of one's own gives both the very same text; what has no bytes of its own is refused", () => {
    holdsFor("bare/claim", {}, ({ one }) => (isText(one) ? [one] : undefined))
  })
})

test("addresses that only look like those of a domain are none of it", () => {
  const keyFor = (email: string) => keyOf("template", { template: "{{email | domain}}" }, callerWith({}, { email }))
  const own = keyFor("alice@Kite.example")
  expect(keyFor("bob@kite.example")).toBe(own)
  for (const email of ["kite.example", "@kite.example", "x@\u212Aite.example", "x@kite.example.", "x@kite.example "])
    expect(keyFor(email), email).not.toBe(own)
})

test("a mail address that the issuer has not verified is nobody's key", () => {
  const mallory = callerWith({ email: "alice@acme.example", email_verified: false })
  expect(keyOf("template", { template: "{{email | domain}}" }, mallory)).toBeUndefined()
  expect(keyOf("claim", { claim: "email" }, mallory)).toBeUndefined()
})
