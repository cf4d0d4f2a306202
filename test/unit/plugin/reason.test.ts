import { expect, test } from "vitest"
import { cleanReason, longestReason } from "../../../src/plugin/call.ts"

test("a reason stays as it is, URLs and other alphabets included", () => {
  const reason = "Verbinde dein Konto: https://connect.example/github?for=ålice#a – 日本語"
  expect(cleanReason(reason)).toBe(reason)
})

test("a reason becomes one line of valid Unicode that steers no terminal", () => {
  expect(cleanReason("  a\r\n\tb\u2028c\u001b[31m \u202ed\ufeff\ud800 ")).toBe("a b c [31m d\ufffd")
  expect(cleanReason("\n \u200b")).toBe("")
})

test("a reason has at most 500 characters, of which none is half", () => {
  const long = cleanReason("\u{1f511}".repeat(100_000))
  expect([...long]).toHaveLength(longestReason)
  expect(long.endsWith("\u{1f511}…")).toBe(true)
  expect(long.isWellFormed()).toBe(true)
})
