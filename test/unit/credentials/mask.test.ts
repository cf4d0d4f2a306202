import { expect, test } from "vitest"
import { mask, masked } from "../../../src/credentials/mask.ts"

const secret = 'p@ss"word\\é/+'

test.each([
  ["as it is", secret],
  ["escaped for JSON", JSON.stringify(secret).slice(1, -1)],
  ["escaped for a URL", encodeURIComponent(secret)],
  ["in base64", Buffer.from(secret).toString("base64")],
  ["in URL-safe base64", Buffer.from(secret).toString("base64url")],
])("a secret %s does not show", (_how, spelling) => {
  expect(mask(`before ${spelling} after`, [secret])).toBe(`before ${masked} after`)
})

test("a key of several lines is masked line by line, also when only some of its lines are shown", () => {
  const key = "-----BEGIN KEY-----\nMIIabcdefgh\nMIIijklmnop\n-----END KEY-----\n"
  expect(mask("x MIIijklmnop y", [key])).toBe(`x ${masked} y`)
})

test("a secret that contains another is masked whole", () => {
  expect(mask("abcdef", ["abc", "abcdef"])).toBe(masked)
})

test("empty values mask nothing", () => {
  expect(mask("all is well", ["", "  "])).toBe("all is well")
})
