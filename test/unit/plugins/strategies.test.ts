/** The strategies that come with the program, through the same door as everyone's. */
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import type { PluginIdentity } from "../../../src/plugin/contract.ts"
import { aTarget } from "../../support/build/target.ts"
import { builtinHost, callerWith, failureOf } from "../../support/builtin-host.ts"

describe.each(["claim", "template"])("the strategy %s", (strategy) => {
  const configs: Record<string, object> = { claim: { claim: "tenant" }, template: { template: "{{tenant}}" } }
  const keyOf = async (identity: PluginIdentity, config = configs[strategy]) =>
    (await builtinHost(strategy)).subjectKey(
      aTarget({ spec: { subjectKey: { strategy, config: { ...config } } } }),
      identity,
    )

  test("gives those one key who have one value, and others another", async () => {
    const [one, same, other] = await Promise.all(
      [
        callerWith({ tenant: "acme" }),
        callerWith({ tenant: "acme" }, { subject: "bob" }),
        callerWith({ tenant: "other" }),
      ].map((each) => keyOf(each)),
    )
    expect(one).toBe(same)
    expect(one).not.toBe(other)
  })
  test("keeps equal values of two issuers apart, unless it is told otherwise", async () => {
    const [corp, partner] = [callerWith({ tenant: "acme" }), callerWith({ tenant: "acme" }, { issuer: "partner" })]
    expect(await keyOf(corp)).not.toBe(await keyOf(partner))
    const across = { ...configs[strategy], across_issuers: true }
    expect(await keyOf(corp, across)).toBe(await keyOf(partner, across))
  })
  test.each([{}, { tenant: "" }, { tenant: 7 }, { tenant: ["acme"] }, { tenant: "u\ud83d" }])(
    "denies whose claims are %j",
    async (claims) => {
      expect(await failureOf(() => keyOf(callerWith(claims)))).toContain(
        "SubjectKeyDenied: Your token has no usable claim 'tenant'",
      )
    },
  )
})

describe("a claim whose names have dots", () => {
  const claims = { access: { "my.client": { tenant: "acme" }, my: { client: { tenant: "other" } } }, plain: "acme" }
  const keyOf = async (strategy: string, config: object) =>
    (await builtinHost(strategy)).subjectKey(
      aTarget({ spec: { subjectKey: { strategy, config: { ...config } } } }),
      callerWith(claims),
    )
  const steps = ["access", "my.client", "tenant"]

  test("is named by a list of them, in the strategies claim and template", async () => {
    expect(await keyOf("claim", { claim: steps })).toBe(await keyOf("claim", { claim: "plain" }))
    expect(await keyOf("claim", { claim: steps })).not.toBe(await keyOf("claim", { claim: "access.my.client.tenant" }))
    const template = `{{${JSON.stringify(steps)} | lower}}`
    expect(await keyOf("template", { template })).toBe(await keyOf("template", { template: "{{plain}}" }))
  })
  test.each([
    ["claim", { claim: [] }],
    ["claim", { claim: ["a", ""] }],
    ["claim", { claim: ["a", 7] }],
    ["claim", { claim: Array(17).fill("a") }],
    ["claim", { claim: "a".repeat(1_025) }],
    ["template", { template: "{{[]}}" }],
    ["template", { template: '{{["a",7]}}' }],
    ["template", { template: '{{["a"}}' }],
    ["template", { template: "{{[a]}}" }],
  ])("of the strategy %s is refused as %j", async (strategy, config) => {
    expect(await failureOf(() => keyOf(strategy, config))).toContain(`does not match the schema`)
  })
})

describe("a template of several values", () => {
  const strategy = { strategy: "template", config: { template: "{{tenant}}-{{region}}" } }
  test("gives two callers one key only if all their values are the same, whatever is in them", async () => {
    const host = await builtinHost("template")
    const keyOf = (tenant: string, region: string, issuer: string) =>
      host.subjectKey(aTarget({ spec: { subjectKey: strategy } }), callerWith({ tenant, region }, { issuer }))
    const value = fc.oneof(
      fc.constantFrom("a", "A", "a-", "-a", '"', '","', "\\", "\u0000", "ſ", "é", "e\u0301"),
      fc.string({ minLength: 1, unit: "grapheme" }),
    )
    const caller = fc.tuple(value, value, fc.constantFrom("corp", "partner"))
    fc.assert(
      fc.property(caller, caller, (one, other) => {
        fc.pre([...one, ...other].every((each) => each.isWellFormed()))
        const same = one.every((each, index) => each === other[index])
        expect(keyOf(...one) === keyOf(...other)).toBe(same)
      }),
    )
  })
  test("knows filters, the mail address and the issuer", async () => {
    const host = await builtinHost("template")
    const keyOf = (template: string, email: string) =>
      host.subjectKey(
        aTarget({ spec: { subjectKey: { strategy: "template", config: { template } } } }),
        callerWith({}, { email }),
      )
    expect(keyOf("{{email | domain}}", "a@Example.com")).toBe(keyOf("{{ email|domain }}", "b@example.com"))
    expect(keyOf("{{email|lower}}", "A@x")).toBe(keyOf("{{email|lower}}", "a@x"))
    expect(keyOf("{{issuer}}", "a@x")).toBe(keyOf("{{issuer}}", "b@x"))
  })
  test.each(["no placeholder", "{{a}} {b", "{{a | upper}}", ""])("is refused if it is %j", async (template) => {
    const host = await builtinHost("template")
    const own = { strategy: "template", config: { template } }
    expect(await failureOf(() => host.subjectKey(aTarget({ spec: { subjectKey: own } }), callerWith({})))).toContain(
      "does not match the schema of the hook subjectKeys.template of the plugin template",
    )
  })
})
