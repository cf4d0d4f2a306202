import { describe, expect, test } from "vitest"
import { factsOf } from "../../../src/mcp/methods.ts"

describe("a method", () => {
  test.each(["initialize", "ping", "server/discover", "tools/list", "prompts/list", "resources/list"])(
    "%s may be asked twice",
    (method) => expect(factsOf(method)).toEqual({ repeatable: true }),
  )

  test.each([
    ["tools/call", "name"],
    ["prompts/get", "name"],
    ["resources/read", "uri"],
  ])("%s repeats its %s in Mcp-Name, always, and is never asked twice", (method, name) => {
    expect(factsOf(method)).toEqual({ nameParameter: { name, isRequired: true } })
  })

  test("every method of tasks needs an instance of one's own, also one that nobody knows yet", () => {
    for (const method of ["tasks/get", "tasks/list", "tasks/result", "tasks/", "tasks/new-in-2027"])
      expect(factsOf(method)).toMatchObject({ needsOwnInstance: true })
    expect(factsOf("tasks")).toEqual({})
  })

  test("of which nothing is known says nothing, whatever it is called", () => {
    for (const method of ["", "tools", "tools/call ", "Tools/Call", "constructor", "__proto__", "x".repeat(1000)])
      expect(factsOf(method)).toEqual({})
  })
})
