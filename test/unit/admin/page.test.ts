import { describe, expect, test } from "vitest"
import { checkQuery, toPage } from "../../../src/admin/page.ts"
import { parseWho } from "../../../src/admin/who.ts"

const items = ["b", "a", "d", "c"].map((name) => ({ metadata: { name } }))
const page = (query: string) => toPage(items, new URLSearchParams(query))
const code = (run: () => unknown): unknown => {
  try {
    return run()
  } catch (error) {
    return Object(error).code
  }
}

describe("a page", () => {
  test("leads to the next until all were seen once, in order", () => {
    const seen: string[] = []
    let query = "limit=3"
    for (let turn = 0; turn < 3; turn++) {
      const { items: some, continue: token } = page(query)
      seen.push(...some.map(({ metadata }) => metadata.name))
      if (token === undefined) break
      query = `limit=3&continue=${token}`
    }
    expect(seen).toEqual(["a", "b", "c", "d"])
  })
  test("that holds everything leads nowhere", () => {
    expect(page("")).toEqual({ items: [...items].sort((x, y) => (x.metadata.name < y.metadata.name ? -1 : 1)) })
    expect(page("limit=4").continue).toBeUndefined()
  })
  test.each(["limit=0", "limit=501", "limit=x", "limit=-1", "limit=1e2", "continue=!!"])(
    "is refused for %s",
    (query) => {
      expect(code(() => page(query))).toBe("InvalidParams")
    },
  )
  test("says which parameter was meant", () => {
    expect(() => checkQuery(new URLSearchParams("limt=1"), ["limit"])).toThrow("did you mean limit")
    expect(() => checkQuery(new URLSearchParams("limit=1&limit=2"), ["limit"])).toThrow("more than once")
  })
})

describe("who is named in a path", () => {
  test.each([
    ["corp/alice", ["corp", "static"], { issuer: "corp", name: "alice" }],
    ["alice", ["corp"], { issuer: "corp", name: "alice" }],
    ["eng/platform", ["corp"], "InvalidParams"],
    ["/eng/platform", ["corp"], { issuer: "corp", name: "/eng/platform" }],
    ["corp/a/b", ["corp"], { issuer: "corp", name: "a/b" }],
    ["alice", ["corp", "static"], "InvalidParams"],
    ["other/alice", ["corp", "static"], "InvalidParams"],
    ["corp/", ["corp", "static"], "InvalidParams"],
    ["", ["corp"], "InvalidParams"],
    ["alice", [], "InvalidParams"],
  ])("%j with issuers %j is %j", (text, issuers, expected) => {
    expect(code(() => parseWho(text, issuers))).toEqual(expected)
  })
})
