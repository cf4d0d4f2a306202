import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { type MCPTarget, MCPTargetSpec } from "../../../src/api/kinds/mcp-target.ts"
import { compileGlobs, createToolPolicies } from "../../../src/mcp/tool-policy.ts"
import { aTarget } from "../../support/build/target.ts"

const toolPolicyOf = createToolPolicies()

const policy = (tools: MCPTargetSpec["tools"]) =>
  toolPolicyOf({
    apiVersion: "mcp.reflow.io/v1alpha1",
    kind: "MCPTarget",
    metadata: { name: "t" },
    spec: MCPTargetSpec.parse({ image: "i", port: 1, tools }),
  } satisfies MCPTarget)

const matchesGlob = (glob: string, text: string): boolean => compileGlobs([glob]).match(text)

describe("a glob", () => {
  test.each([
    ["*", "", true],
    ["read_*", "read_file", true],
    ["read_*", "read", false],
    ["*_file", "read_file", true],
    ["*a*b*", "xxaxxbxx", true],
    ["*a*b*", "xxbxxaxx", false],
    ["r?ad", "read", true],
    ["r?ad", "rad", false],
    ["read.file", "readxfile", false],
    ["READ", "read", false],
    ["", "", true],
    ["", "a", false],
    [`${"a".repeat(31)}*b`, `${"a".repeat(31)}xxb`, true],
    [`${"a".repeat(32)}?b`, `${"a".repeat(32)}xb`, true],
    [`*${"ab".repeat(40)}*c`, `abab${"ab".repeat(40)}xc`, true],
    [`*${"ab".repeat(40)}*c`, `${"ab".repeat(39)}xc`, false],
  ])("%s on %s: %s", (glob, text, expected) => {
    expect(matchesGlob(glob, text)).toBe(expected)
  })

  test("means the same as the regular expression that says so", () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b", "*", "?"), maxLength: 80 })
    const texts = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 100 })
    fc.assert(
      fc.property(letters, texts, (glob, text) => {
        const pattern = new RegExp(`^${glob.replaceAll(/\*+/g, ".*").replaceAll("?", ".")}$`)
        expect(matchesGlob(glob, text)).toBe(pattern.test(text))
      }),
      { numRuns: 2_000 },
    )
  })
})

describe("a tool policy", () => {
  test("does not exist where nothing is restricted", () => {
    for (const tools of [undefined, {}, { deny: [] }]) expect(policy(tools)).toBeUndefined()
  })

  test("lets deny win over allow, and an empty allow list allows nothing", () => {
    const both = policy({ allow: ["read_*"], deny: ["*_secret"] })
    expect(["read_file", "read_secret", "write"].map((tool) => both?.allows(tool))).toEqual([true, false, false])
    expect(policy({ allow: [] })?.allows("anything")).toBe(false)
    expect(policy({ deny: ["x"] })?.allows("y")).toBe(true)
  })

  test.each(["x\0", "x\0y", "\u0007x", "x\u0085", "x\ud800", "\udc00x"])(
    "never allows %j, which another program could read as another name",
    (name) => {
      expect(policy({ deny: ["x"] })?.allows(name)).toBe(false)
      expect(policy({ allow: ["*"] })?.allows(name)).toBe(false)
    },
  )

  test("allows names of any script", () => {
    for (const name of ["größe", "名前", "🦊", "a/b.c-d_e"]) expect(policy({ allow: ["*"] })?.allows(name)).toBe(true)
  })

  test("is made once for each state of a target", () => {
    const target = aTarget({ spec: { tools: { deny: ["x*"] } } })
    expect(toolPolicyOf(target)).toBe(toolPolicyOf(target))
    expect(toolPolicyOf({ ...target })).not.toBe(toolPolicyOf(target))
  })
})
