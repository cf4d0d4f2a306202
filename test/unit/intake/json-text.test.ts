import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { findJsonFault, type JsonRules } from "../../../src/intake/json-text.ts"

const faultOf = (text: string, rules: Partial<JsonRules> = {}) =>
  findJsonFault(text, { maxDepth: 100, ...rules })?.message
const strictly = (text: string) => faultOf(text, { strict: true })

describe("a JSON text", () => {
  test.each([
    "null",
    " \t\r\n[ true , false ]\n",
    '{"": {"a": [], "b": {}}, "a": [[], {}, ""]}',
    "[0, -0, 10, 0.0, -1.50, 1e9, 1E+9, 0e-0, 12.5e300, 1e999]",
    '"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00Ff \u007f\u2028\ud83d\ude00"',
  ])("passes as it stands: %s", (text) => {
    expect(faultOf(text)).toBeUndefined()
    expect(strictly(text)).toBeUndefined()
  })

  test.each([
    ["", "is no JSON: it ends too early, at line 1, character 1"],
    ["[1,\n 2", "is no JSON: it ends too early, at line 2, character 3"],
    ["[1,]", "is no JSON: a value is missing, at line 1, character 4"],
    ["[1 2]", "is no JSON: a comma or a closing bracket is missing, at line 1, character 4"],
    ["[1}", "is no JSON: a comma or a closing bracket is missing, at line 1, character 3"],
    ["]", "is no JSON: a value is missing, at line 1, character 1"],
    ["nul", "is no JSON: a value is missing, at line 1, character 1"],
    ["nullx", "is no JSON: something follows it, at line 1, character 5"],
    ["{}{}", "is no JSON: something follows it, at line 1, character 3"],
    ["\uFEFF1", "is no JSON: a value is missing, at line 1, character 1"],
    ["\u00a01", "is no JSON: a value is missing, at line 1, character 1"],
    ["{a:1}", "is no JSON: a key is missing, at line 1, character 2"],
    ['{"a":1,}', "is no JSON: a key is missing, at line 1, character 8"],
    ['{"a" 1}', "is no JSON: a colon is missing, at line 1, character 6"],
    ['{"a":}', "is no JSON: a value is missing, at line 1, character 6"],
    ["01", "is no JSON: a number with a zero in front, at line 1, character 2"],
    ["-", "is no JSON: a digit is missing, at line 1, character 2"],
    ["1.", "is no JSON: a digit is missing, at line 1, character 3"],
    [".5", "is no JSON: a value is missing, at line 1, character 1"],
    ["1e+", "is no JSON: a digit is missing, at line 1, character 4"],
    ["+1", "is no JSON: a value is missing, at line 1, character 1"],
    ["NaN", "is no JSON: a value is missing, at line 1, character 1"],
    ['"a', "is no JSON: a string has no end, at line 1, character 3"],
    ['"a\n"', "is no JSON: a control character in a string, at line 1, character 3"],
    ['"\\x"', "is no JSON: an escape that does not exist, at line 1, character 2"],
    ['"\\u00g0"', "is no JSON: an escape that does not exist, at line 1, character 2"],
    ['"\\u00', "is no JSON: an escape that does not exist, at line 1, character 2"],
    ["'a'", "is no JSON: a value is missing, at line 1, character 1"],
  ])("%j is refused with what is wrong and where, and is not quoted", (text, message) => {
    expect(faultOf(text)).toBe(message)
  })

  test("passes if and only if the parser takes it", () => {
    const pieces = [...'{}[]:,"\\u0eE+-.19 tn\n', "true", "false", "null", '"a"', '\\"', "\\u12aF", "\ud800", "\0"]
    const likely = fc.oneof(
      fc.json(),
      fc.array(fc.constantFrom(...pieces), { maxLength: 12 }).map((each) => each.join("")),
      fc.tuple(fc.json(), fc.nat(), fc.constantFrom(...pieces)).map(([text, place, piece]) => {
        const at = place % (text.length + 1)
        return text.slice(0, at) + piece + text.slice(at + (place % 2))
      }),
    )
    const isParsed = (text: string): boolean => {
      try {
        JSON.parse(text)
        return true
      } catch {
        return false
      }
    }
    fc.assert(
      fc.property(likely, (text) => {
        expect(faultOf(text, { maxDepth: 1_000 }) === undefined).toBe(isParsed(text))
      }),
      { numRuns: 5_000 },
    )
  })
})

describe("limits", () => {
  test("hold back nesting one level deeper than allowed", () => {
    const nested = (levels: number) => '{"a":['.repeat(levels / 2) + "]}".repeat(levels / 2)
    expect(faultOf(nested(6), { maxDepth: 6 })).toBeUndefined()
    expect(faultOf(nested(6), { maxDepth: 5 })).toMatch(/^is nested deeper than 5 levels, at line 1, character 18$/)
    expect(faultOf("[[]]", { maxDepth: 1 })).toMatch("deeper than 1 ")
    expect(faultOf("1", { maxDepth: 0 })).toBeUndefined()
  })
  test("do not take brackets in strings for nesting", () => {
    expect(faultOf(JSON.stringify(`${"[".repeat(200)}\\"{`))).toBeUndefined()
  })
  test("hold back one member or element more than allowed, wherever it stands", () => {
    expect(faultOf('{"a":[1,{}],"b":[]}', { maxMembers: 4 })).toBeUndefined()
    expect(faultOf('{"a":[1,{}],"b":[1]}', { maxMembers: 4 })).toMatch(/^has more than 4 members and elements, at /)
    const elements = (count: number) => `[${Array(count).fill("1").join()}]`
    expect(faultOf(elements(50_000))).toBeUndefined()
    expect(faultOf(elements(50_001))).toMatch(/^has more than 50,000 members/)
  })
  test("end a text of any depth without a deep call stack", () => {
    expect(faultOf("[".repeat(1_000_000), { maxDepth: 2_000_000, maxMembers: 2_000_000 })).toMatch("ends too early")
  })
})

describe("strictly", () => {
  test.each([
    ['{"a":1,"b":2,"a":3}', 'has the key "a" twice in one object, at line 1, character 14'],
    ['[{"a":1,"\\u0061":2}]', 'has the key "a" twice in one object, at line 1, character 9'],
    ['{"":1,"":2}', 'has the key "" twice in one object, at line 1, character 7'],
    ['{"1":1,"1":2}', 'has the key "1" twice in one object, at line 1, character 8'],
    ['{"a":{"b":1},"a":{}}', 'has the key "a" twice in one object, at line 1, character 14'],
    ['{"__proto__":1}', 'has the key "__proto__", which is not allowed, at line 1, character 2'],
    ['{"a":{"__pr\\u006fto__":1}}', 'has the key "__proto__", which is not allowed, at line 1, character 7'],
  ])("%s has a key that is refused", (text, message) => {
    expect(strictly(text)).toBe(message)
    expect(faultOf(text)).toBeUndefined()
  })
  test("the same key in another object is another key", () => {
    expect(strictly('{"a":{"a":[{"a":1},{"a":1}]},"A":1,"a ":1,"constructor":1,"toString":2}')).toBeUndefined()
  })
  test("a long key is repeated in part only", () => {
    const key = "k".repeat(1_000)
    expect(strictly(`{"${key}":1,"${key}":2}`)).toContain(`has the key "${"k".repeat(64)}…" twice`)
  })
  test.each(['"\\ud800"', '"\\udc00"', '"x\ud800x"', '"\\ud83d\\ud83d\\ude00"', '{"\\ud800":1}', '"\ude00\ud83d"'])(
    "%j has half a surrogate pair",
    (text) => {
      expect(strictly(text)).toMatch(/^has half a surrogate pair in a string, which is no character, at /)
      expect(faultOf(text)).toBeUndefined()
    },
  )
  test.each(['"\\ud83d\\ude00"', '"\ud83d\ude00"', '"\\ud83d\ude00"', '"\ud83d\\uDE00"', '"\\ufffd\uffff"'])(
    "%j has whole characters",
    (text) => {
      expect(strictly(text)).toBeUndefined()
    },
  )
  test("what passes has only well-formed strings, and what is refused for its pairs has not", () => {
    const unit = fc.constantFrom("a", "\ud83d", "\ude00", "\\ud83d", "\\ude00", "\\n", "é")
    fc.assert(
      fc.property(fc.array(unit, { maxLength: 6 }), (units) => {
        const text = `"${units.join("")}"`
        expect(strictly(text) === undefined).toBe(JSON.parse(text).isWellFormed())
      }),
    )
  })
})
