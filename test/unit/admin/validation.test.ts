import { describe, expect, test } from "vitest"
import { TargetInput, ValuesInput } from "../../../src/admin/resources.ts"
import { brokenRules, fromPaths, parseBody, toPointer } from "../../../src/admin/validation.ts"
import { targetRules } from "../../../src/api/kinds/mcp-target.ts"
import { isAppError } from "../../../src/errors.ts"
import { target } from "../../support/build/who.ts"

const good = { name: "github", image: "github:1", port: 8080 }
const problemsOf = (body: unknown, schema: Parameters<typeof parseBody>[0] = TargetInput) => {
  try {
    parseBody(schema, body)
    return []
  } catch (error) {
    if (!isAppError(error)) throw error
    expect(error.code).toBe("ValidationFailed")
    expect(JSON.stringify([error.message, error.data])).not.toContain("canary")
    return error.data?.errors
  }
}

describe("a body that is not valid gets one line per field", () => {
  test.each<[string, object, string, unknown]>([
    ["a missing field", { name: undefined }, "/name", "is required"],
    ["a missing field inside", { remote: { headers: [] } }, "/remote/url", "is required"],
    ["a wrong type", { port: "canary" }, "/port", "must be a number"],
    [
      "an unknown field",
      { isolation_boundry: "canary" },
      "/isolation_boundry",
      "is not a field; did you mean isolation_boundary?",
    ],
    ["an unknown field that is like none", { canopy: 1 }, "/canopy", "is not a field"],
    [
      "an unknown field inside",
      { security: { run_as_usr: 1 } },
      "/security/run_as_usr",
      "is not a field; did you mean run_as_user?",
    ],
    [
      "an unknown field in a list",
      { env: [{ name: "A", value: "canary", vale: "canary" }] },
      "/env/0/vale",
      "is not a field; did you mean value?",
    ],
    ["a word that is not offered", { statefulness: "canary" }, "/statefulness", "must be one of stateful, stateless"],
    [
      "the deprecated transport",
      { transport_type: "sse" },
      "/transport_type",
      "must be one of kubernetes, streamable-http; for a server that speaks sse, let a target with stdio run the tool mcp-remote",
    ],
    [
      "a transport that is none",
      { transport_type: "canary" },
      "/transport_type",
      "must be one of kubernetes, streamable-http",
    ],
    [
      "a URL of another form",
      { remote: { url: "https://canary@mcp.example.com/" } },
      "/remote/url",
      "must be an http(s) URL in ASCII, without user, blanks and fragment, e.g. https://mcp.example.com/mcp",
    ],
    [
      "a header's value of another form",
      { remote: { url: "https://mcp.example.com/", headers: [{ name: "A", value: "$canary" }] } },
      "/remote/headers/0/value",
      "must be printable ASCII; ${NAME} stands for a credential, and $$ for one $",
    ],
    ["a number that is too large", { port: 65_536 }, "/port", "must be at most 65535"],
    ["a number beyond all integers", { max_instances: 1e30 }, "/max_instances", "must be at most 100000"],
    ["a number below all integers", { max_instances: -1e30 }, "/max_instances", "must be at least 0"],
    [
      "a text that breaks two rules",
      { secrets: [{ name: "A", from: "canary".repeat(200) }] },
      "/secrets/0/from",
      "must be at most 1024 characters; must be scheme:reference, e.g. vault:team/key",
    ],
    ["an empty text", { image: "" }, "/image", "must not be empty"],
    ["a duration that is none", { idle_ttl: "canary" }, "/idle_ttl", "must be a duration such as 30s, 10m or 1h30m"],
    [
      "a name that is none",
      { name: "Canary!".toLowerCase() },
      "/name",
      "must be at most 40 characters of a-z, 0-9 and '-', beginning with a letter",
    ],
    [
      "a quantity that is none",
      { resources: { limits: { cpu: "canary" } } },
      "/resources/limits/cpu",
      "must be a quantity such as 100m or 128Mi",
    ],
    [
      "a name of a variable that is none",
      { credentials: [{ name: "1canary" }] },
      "/credentials/0/name",
      "must be letters, digits and '_', not beginning with a digit",
    ],
  ])("%s", (_name, wrong, pointer, detail) => {
    expect(problemsOf({ ...good, ...wrong })).toEqual([{ pointer, detail }])
  })
  test("and several lines for several", () => {
    expect(problemsOf({ image: "", port: 0, colour: "canary" })).toHaveLength(4)
  })
  test.each([undefined, null, [], "canary", 1])("of the type of %j", (body) => {
    expect(problemsOf(body)).toEqual([{ pointer: "", detail: "must be an object" }])
  })
  test("that names no value of a credential", () => {
    expect(problemsOf({ A: 1, B: null, C: { d: "canary" }, D: "canary" }, ValuesInput)).toEqual(
      ["/A", "/B", "/C"].map((pointer) => ({ pointer, detail: "must be a string" })),
    )
  })
})

test("the rules that a schema cannot say are told under REST names", () => {
  expect(brokenRules(targetRules, target({ idleTTL: "1s", maxLifetime: "1m" }))).toEqual([
    { pointer: "/idle_ttl", detail: "must be at least 10s" },
  ])
  expect(fromPaths([{ path: "podTemplates[2].name", message: "x" }])).toEqual([
    { pointer: "/pod_templates/2/name", detail: "x" },
  ])
})

test("a pointer escapes what pointers are made of", () => {
  expect(toPointer(["a/b", 0, "~"])).toBe("/a~1b/0/~0")
})
