import fc from "fast-check"
import { expect, test } from "vitest"
import { redactText } from "../../../src/telemetry/redact.ts"

const head = "eyJhbGciOiJIUzI1NiJ9"
const jwt = `${head}.eyJzdWIiOiJhIn0.c2ln`

test.each([
  [jwt, "[redacted]"],
  [`a ${jwt}, b`, "a [redacted], b"],
  [`id-${jwt}`, "id-[redacted]"],
  [`x.${jwt}.y`, "x.[redacted].y"],
  [`${jwt}.${jwt}`, "[redacted].[redacted]"],
  [`${head}.${jwt}`, "[redacted].c2ln"],
  [`${head}.eyJzdWIiOiJhIn0.`, "[redacted]"],
  ["eyJ.eyJ.eyJ", "eyJ.eyJ.eyJ"],
  [`${head}.short.c2ln`, `${head}.short.c2ln`],
  [`x${jwt}`, `x${jwt}`],
  ["node_modules/a-b.c/1.2.3", "node_modules/a-b.c/1.2.3"],
])("of %s is shown %s", (text, shown) => {
  expect(redactText(text)).toBe(shown)
})

test("a JWT is what one expression for its three parts finds, which is slow where a part is long", () => {
  const slow = /\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*/g
  const piece = fc.constantFrom("eyJ", "-eyJ", "aaaaaaaa", "a", ".", ".", "-", " ", "é")
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 14 }), (pieces) => {
      const text = pieces.join("")
      expect(redactText(text)).toBe(text.replace(slow, "[redacted]"))
    }),
    { numRuns: 2_000 },
  )
})
