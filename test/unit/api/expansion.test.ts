import { describe, expect, test } from "vitest"
import { expand, longestText, longestTogether, overExpanded, overExpandedBy } from "../../../src/api/expansion.ts"

const values: Readonly<Record<string, string>> = {
  VAR_A: "A",
  VAR_B: "B",
  VAR_C: "C",
  VAR_REF: "$(VAR_A)",
  VAR_EMPTY: "",
  VAR_DOLLARS: "$$(VAR_A)$$",
  "a b": "blank",
}
const lookUp = (name: string) => (Object.hasOwn(values, name) ? values[name] : undefined)

/** The cases of Kubernetes' own test (third_party/forked/golang/expansion/expand_test.go), and what credentials add. */
const cases: readonly (readonly [string, string, string])[] = [
  ["whole string", "$(VAR_A)", "A"],
  ["repeat", "$(VAR_A)-$(VAR_A)", "A-A"],
  ["beginning", "$(VAR_A)-1", "A-1"],
  ["middle", "___$(VAR_B)___", "___B___"],
  ["end", "___$(VAR_C)", "___C"],
  ["compound", "$(VAR_A)_$(VAR_B)_$(VAR_C)", "A_B_C"],
  ["escape & expand", "$$(VAR_B)_$(VAR_A)", "$(VAR_B)_A"],
  ["compound escape", "$$(VAR_A)_$$(VAR_B)", "$(VAR_A)_$(VAR_B)"],
  ["mixed in escapes", "f000-$$VAR_A", "f000-$VAR_A"],
  ["backslash escape ignored", "foo\\$(VAR_C)bar", "foo\\Cbar"],
  ["lots of backslashes", "foo\\\\\\\\$(VAR_A)bar", "foo\\\\\\\\Abar"],
  ["nested var references", "$(VAR_A$(VAR_B))", "$(VAR_A$(VAR_B))"],
  ["nested var references second type", "$(VAR_A$(VAR_B)", "$(VAR_A$(VAR_B)"],
  ["value is a reference", "$(VAR_REF)", "$(VAR_A)"],
  ["value is a reference x 2", "%%$(VAR_REF)--$(VAR_REF)%%", "%%$(VAR_A)--$(VAR_A)%%"],
  ["value has escapes", "$(VAR_DOLLARS)$$(VAR_A)", "$$(VAR_A)$$$(VAR_A)"],
  ["empty var", "foo$(VAR_EMPTY)bar", "foobar"],
  ["unterminated expression", "foo$(VAR_Awhoops!", "foo$(VAR_Awhoops!"],
  ["expression without operator", "f00__(VAR_A)__", "f00__(VAR_A)__"],
  ["shell special vars pass through", "$?_boo_$!", "$?_boo_$!"],
  ["bare operators are ignored", "$VAR_A", "$VAR_A"],
  ["undefined vars are passed through", "$(VAR_DNE)", "$(VAR_DNE)"],
  ["names of every object are undefined", "$(constructor)$(__proto__)", "$(constructor)$(__proto__)"],
  ["no name", "$()", "$()"],
  ["any name up to the bracket", "$(a b)", "blank"],
  ["multiple (even) operators, var undefined", "$$$$$$(BIG_MONEY)", "$$$(BIG_MONEY)"],
  ["multiple (even) operators, var defined", "$$$$$$(VAR_A)", "$$$(VAR_A)"],
  ["multiple (odd) operators, var undefined", "$$$$$$$(GOOD_ODDS)", "$$$$(GOOD_ODDS)"],
  ["multiple (odd) operators, var defined", "$$$$$$$(VAR_A)", "$$$A"],
  ["missing open expression", "$VAR_A)", "$VAR_A)"],
  ["shell syntax ignored", "$\u007bVAR_A}", "$\u007bVAR_A}"],
  ["trailing incomplete expression not consumed", "$(VAR_B)_______$(A", "B_______$(A"],
  ["trailing incomplete expression, no content, is not consumed", "$(VAR_C)_______$(", "C_______$("],
  ["operator at end of input string is preserved", "$(VAR_A)foobarzab$", "Afoobarzab$"],
  ["shell escaped incomplete expr", "foo-\\$(VAR_A", "foo-\\$(VAR_A"],
  ["lots of $( in middle", "--$($($($($--", "--$($($($($--"],
  ["lots of $( in beginning", "$($($($($--foo$(", "$($($($($--foo$("],
  ["lots of $( at end", "foo0--$($($($(", "foo0--$($($($("],
  ["an escape behind the last bracket", "$(A$$(B$$$", "$(A$(B$$"],
  ["escaped operators in variable names are not escaped", "$(foo$$var)", "$(foo$$var)"],
  ["newline not expanded", "\n", "\n"],
  ["dollar sign followed by non-ASCII UTF-8 character", "$£FOO", "$£FOO"],
  ["dollar sign followed by multi-byte UTF-8 character in middle", "prefix-$€-suffix", "prefix-$€-suffix"],
  ["dollar sign followed by Chinese character", "$中文", "$中文"],
  ["nothing", "", ""],
]

describe("$(NAME) is replaced as the kubelet does it", () => {
  test.each(cases)("%s: %s", (_, text, expected) => {
    expect(expand(text, lookUp)).toBe(expected)
  })
  test.each(cases)("%s: %s is measured without being made", (_, text, expected) => {
    const known = new Map(Object.entries(values).map(([name, value]) => [name, Buffer.byteLength(value)]))
    const room = longestText - Buffer.byteLength(expected) - 1
    const fits = { args: [`${"x".repeat(room)}${text}`] }
    expect(overExpandedBy(fits, known)).toBeUndefined()
    expect(overExpandedBy({ args: [`x${fits.args[0]}`] }, known)).toMatch(/^A word of the command line becomes longer/)
  })
})

const chain = (length: number, each: (before: string) => string, first = "xx") =>
  Array.from({ length }, (_, at) => ({ name: `V${at}`, value: at === 0 ? first : each(`$(V${at - 1})`) }))

describe("what $(NAME) makes too much of is refused before it is made", () => {
  test("values that double with each variable, by the name of the first that is too long", () => {
    expect(overExpanded({ env: chain(16, (before) => before.repeat(2)) })).toBeUndefined()
    expect(overExpanded({ env: chain(100, (before) => before.repeat(2)) })).toBe(
      "The environment variable V16 becomes longer than 131072 bytes, the most that a program can be started with: use $(NAME) less often in it.",
    )
  })
  test("a value of 32 KiB that is named thousands of times", () => {
    const env = [{ name: "A", value: "x".repeat(32_768) }]
    expect(overExpanded({ env, args: ["$(A)$(A)$(A)"] })).toBeUndefined()
    expect(overExpanded({ env, args: ["$(A)".repeat(1_000)] })).toMatch(/A word of the command line/)
    expect(overExpanded({ env, command: ["$(A)".repeat(1_000)] })).toMatch(/A word of the command line/)
  })
  test("many values that are long together", () => {
    const env = chain(40, (before) => before, "x".repeat(120_000))
    expect(overExpanded({ env: env.slice(0, 16) })).toBeUndefined()
    expect(overExpanded({ env })).toMatch(/^Environment and command line together become longer than 2097152 bytes/)
    expect(longestTogether).toBe(2_097_152)
  })
  test("a credential counts as 1 KiB: it may be named some hundred times in one text", () => {
    expect(overExpanded({ args: ["$(TOKEN)".repeat(127)] })).toBeUndefined()
    expect(overExpanded({ args: ["$(TOKEN)".repeat(128)] })).toMatch(/A word/)
    expect(overExpanded({ args: ["$$(TOKEN)".repeat(400), "$(not a name) ".repeat(290)] })).toBeUndefined()
  })
  test("nothing of a container without a $(NAME), nor HOME and PORT", () => {
    expect(overExpanded({})).toBeUndefined()
    expect(overExpanded({ env: [{ name: "A", value: "$(PORT)$(HOME)".repeat(2_000) }, { name: "B" }] })).toBeUndefined()
  })
  test("later values count, earlier ones as they were", () => {
    const known = new Map([["A", 1]])
    const long = "x".repeat(40_000)
    const env = [
      { name: "B", value: "$(A)".repeat(4_000) },
      { name: "A", value: long },
    ]
    expect(overExpandedBy({ env }, known)).toBeUndefined()
    expect(overExpandedBy({ env: env.toReversed() }, known)).toMatch(/variable B/)
  })
})
