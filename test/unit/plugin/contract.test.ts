import { expect, test } from "vitest"
import { z } from "zod"
import { hasCode } from "../../../src/errors.ts"
import { defineHook, definePlugin, requireClaim } from "../../../src/plugin/contract.ts"
import { callerWith } from "../../support/builtin-host.ts"

const refusal = (claims: Readonly<Record<string, unknown>>, claim: string | readonly string[]): unknown => {
  try {
    return requireClaim(callerWith(claims), claim)
  } catch (error) {
    return error
  }
}

test("requireClaim yields the claim of the name", () => {
  expect(requireClaim(callerWith({ tenant: "acme" }), "tenant")).toBe("acme")
})

test("requireClaim follows a dotted path, but a claim of the whole name comes first", () => {
  const nested = { org: { tenant: "inner" } }
  expect(requireClaim(callerWith(nested), "org.tenant")).toBe("inner")
  expect(requireClaim(callerWith({ ...nested, "org.tenant": "outer" }), "org.tenant")).toBe("outer")
  expect(requireClaim(callerWith({ "https://corp.example/tenant": "acme" }), "https://corp.example/tenant")).toBe(
    "acme",
  )
})

test("requireClaim takes names with dots in them as a list", () => {
  const claims = { access: { "my.client": { tenant: "acme" }, my: { client: { tenant: "other" } } } }
  expect(requireClaim(callerWith(claims), ["access", "my.client", "tenant"])).toBe("acme")
  const error = refusal(claims, ["access", "your.client", "tenant"])
  expect(hasCode(error, "SubjectKeyDenied")).toBe(true)
  expect(String(error)).toContain(`'["access","your.client","tenant"]'`)
})

test.each(["email", ["email"]])("requireClaim believes no mail address that is not verified, named as %j", (claim) => {
  for (const verified of [false, "false", "true", null, 0, 1, {}])
    expect(refusal({ email: "a@acme.example", email_verified: verified }, claim), String(verified)).toBeInstanceOf(
      Error,
    )
  expect(requireClaim(callerWith({ email: "a@acme.example", email_verified: true }), claim)).toBe("a@acme.example")
  expect(requireClaim(callerWith({ email: "a@acme.example" }), claim)).toBe("a@acme.example")
})

test.each([
  ["missing", {}, "tenant"],
  ["empty", { tenant: "" }, "tenant"],
  ["null", { tenant: null }, "tenant"],
  ["a number", { tenant: 7 }, "tenant"],
  ["a list", { tenant: ["acme"] }, "tenant"],
  ["an object", { tenant: { toString: () => "acme" } }, "tenant"],
  ["inherited by every object", {}, "constructor.name"],
  ["below a text", { tenant: "acme" }, "tenant.length"],
  ["a mail address that nobody verified", { email: "a@acme.example", email_verified: false }, "email"],
  ["a mail address that a text calls verified", { email: "a@acme.example", email_verified: "true" }, "email"],
  ["a mail address with nothing as word of it", { email: "a@acme.example", email_verified: null }, "email"],
])("a claim that is %s denies the caller and is named", (_, claims, claim) => {
  const error = refusal(claims, claim)
  expect(hasCode(error, "SubjectKeyDenied")).toBe(true)
  expect(String(error)).toContain(`'${claim}'`)
})

test("definePlugin and defineHook only type what they get", () => {
  const config = z.object({ zone: z.string() })
  const run = () => "key"
  const hook = defineHook(config, run)
  expect(hook).toEqual({ config, run })
  const plugin = { api: 1, name: "zones", setup: () => ({}) } as const
  expect(definePlugin(plugin)).toBe(plugin)
})
