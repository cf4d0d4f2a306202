import { expect, test } from "vitest"
import { formerly, maxWho, parseWho, whoText } from "../../../src/admin/who.ts"

const issuers = ["corp", "dev"]
const invalid = expect.objectContaining({ code: "InvalidParams" })

test("a role, group or user is named by issuer and name, whatever the name holds", () => {
  for (const text of ["corp/a", "dev/a/b", "corp/ a ", "corp/\u{1f600}", "dev/a\0b", `dev/${"x".repeat(1_020)}`])
    expect(whoText(parseWho(text, issuers))).toBe(text)
  expect(parseWho("a", ["corp"])).toEqual({ issuer: "corp", name: "a" })
  expect(parseWho("corp/corp", ["corp"])).toEqual({ issuer: "corp", name: "corp" })
})

test.each(["a", "", "corp/", "corp/u\ud83d", "\udc00", "other/a"])("%j names nobody", (text) => {
  expect(() => parseWho(text, issuers)).toThrow(invalid)
})

test.each([
  ["an issuer that is not configured", "other/a", issuers, "There is no issuer 'other'; configured are: corp, dev."],
  [
    "one that is not the only one",
    "other/a",
    ["corp"],
    "There is no issuer 'other'; configured are: corp; if all of it is the name, write corp/ before it.",
  ],
  [
    "one in other letters",
    "Corp/a",
    ["corp"],
    "There is no issuer 'Corp'; configured are: corp; if all of it is the name, write corp/ before it.",
  ],
  ["one where none is configured", "corp/a", [], "There is no issuer 'corp'; none is configured."],
  ["an issuer alone", "corp", ["corp"], "corp is the issuer: write corp/NAME, or corp/corp for the name corp."],
  ["nobody's name", "a", issuers, "Name the issuer too, as issuer/name; configured are: corp, dev."],
])("%s is refused, and the configured ones are listed", (_name, text, known, detail) => {
  const data = { issuers: known }
  expect(() => parseWho(text, known)).toThrow(expect.objectContaining({ code: "InvalidParams", message: detail, data }))
})

test("a slash at the beginning belongs to the name, as in Keycloak's groups", () => {
  expect(parseWho("/eng/platform", ["corp"])).toEqual({ issuer: "corp", name: "/eng/platform" })
})

test("what was stored may have meant an issuer that has gone, or a bare name with a slash", () => {
  expect(formerly("corp/a/b", issuers)).toEqual([{ issuer: "corp", name: "a/b" }])
  expect(formerly("gone/a", issuers)).toEqual([{ issuer: "gone", name: "a" }])
  expect(formerly("gone/a", ["corp"])).toEqual([
    { issuer: "gone", name: "a" },
    { issuer: "corp", name: "gone/a" },
  ])
  expect(formerly("Team/a", ["corp"])).toEqual([{ issuer: "corp", name: "Team/a" }])
  expect(formerly("a", ["corp"])).toEqual([{ issuer: "corp", name: "a" }])
  for (const text of ["a", "Team/a", "gone/"]) expect(formerly(text, issuers)).toEqual([])
  for (const text of ["corp/", "corp/u\ud83d"]) expect(() => formerly(text, issuers)).toThrow(invalid)
})

test("a name that is too long names nobody", () => {
  expect(() => parseWho(`corp/${"x".repeat(maxWho)}`, issuers)).toThrow(invalid)
})
