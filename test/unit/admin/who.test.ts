import { expect, test } from "vitest"
import { maxWho, parseWho, whoText } from "../../../src/admin/who.ts"

const issuers = ["corp", "dev"]
const invalid = expect.objectContaining({ code: "InvalidParams" })

test("a role, group or user is named by issuer and name, whatever the name holds", () => {
  for (const text of ["corp/a", "dev/a/b", "corp/ a ", "corp/\u{1f600}", "dev/a\0b", `dev/${"x".repeat(1_020)}`])
    expect(whoText(parseWho(text, issuers))).toBe(text)
  expect(parseWho("a", ["corp"])).toEqual({ issuer: "corp", name: "a" })
})

test.each(["a", "", "corp/", "corp/u\ud83d", "\udc00", "other/a"])("%j names nobody", (text) => {
  expect(() => parseWho(text, issuers)).toThrow(invalid)
})

test("a name that is too long names nobody", () => {
  expect(() => parseWho(`corp/${"x".repeat(maxWho)}`, issuers)).toThrow(invalid)
})
