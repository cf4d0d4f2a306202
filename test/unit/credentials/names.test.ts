import { describe, expect, test } from "vitest"
import {
  checkValues,
  findDeclarationErrors,
  findValueErrors,
  maxTotalBytes,
  maxValueBytes,
} from "../../../src/credentials/names.ts"
import { target } from "../../support/build/who.ts"

const rulesBroken = (values: Record<string, string>, rules = {}) =>
  findValueErrors(target({ credentials: [{ name: "TOKEN" }], env: [{ name: "MODE", value: "x" }] }), values, rules).map(
    ({ path, rule }) => `${path} ${rule}`,
  )

describe("names and values of credentials", () => {
  test.each(["TOKEN", "_x", "a1", "http_proxy_token", "LDAP_URL", "PORTAL", "MYPATH"])("%s may be set", (name) => {
    expect(rulesBroken({ [name]: "v" })).toEqual([])
  })

  test.each([
    "PORT",
    "PATH",
    "HOME",
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "NODE_OPTIONS",
    "HTTP_PROXY",
    "https_proxy",
    "No_Proxy",
  ])("%s is refused: it changes how the process runs", (name) => {
    expect(rulesBroken({ [name]: "v" })).toEqual([`values.${name} refused`])
  })

  test.each(["", "1A", "A-B", "A B", "A=B", "ä", "A\n", "x".repeat(257)])("%j is no name", (name) => {
    expect(rulesBroken({ [name]: "v" })).toEqual([`values.${name.slice(0, 256)} pattern`])
  })

  test("a name that the target's env sets is refused", () => {
    expect(rulesBroken({ MODE: "v" })).toEqual(["values.MODE duplicate"])
  })

  test("users may set only what the target declares", () => {
    expect(rulesBroken({ TOKEN: "v", OTHER: "v" }, { declaredOnly: true })).toEqual(["values.OTHER undeclared"])
  })

  test("a value has at most 64 KiB of UTF-8 and no NUL, all together at most 512 KiB", () => {
    expect(rulesBroken({ A: "ä".repeat(maxValueBytes / 2) })).toEqual([])
    expect(rulesBroken({ A: `${"ä".repeat(maxValueBytes / 2)}.` })).toEqual(["values.A size"])
    expect(rulesBroken({ A: "a\0b" })).toEqual(["values.A nul"])
    expect(rulesBroken({ A: "a\ud83d" })).toEqual(["values.A unicode"])
    const eight = Object.fromEntries(
      Array.from({ length: 8 }, (_, index) => [`A${index}`, "x".repeat(maxTotalBytes / 8)]),
    )
    expect(rulesBroken(eight)).toEqual(["values total"])
  })

  test("the error names the fields and never repeats a value", () => {
    let caught: unknown
    try {
      checkValues(target(), { PATH: "s3cret-canary", "1x": "s3cret-canary" })
    } catch (error) {
      caught = error
    }
    expect(caught).toMatchObject({
      code: "ValidationFailed",
      data: { errors: [{ path: "values.PATH" }, { path: "values.1x" }] },
    })
    expect(JSON.stringify(caught) + String(caught)).not.toContain("canary")
  })

  test("a target may not declare a refused name, nor one that stands in its env", () => {
    const { spec } = target({
      env: [{ name: "MODE", value: "x" }],
      credentials: [{ name: "TOKEN" }, { name: "MODE" }],
      secrets: [{ name: "LD_PRELOAD", from: "file:/x" }],
    })
    expect(findDeclarationErrors(spec).map(({ path, rule }) => `${path} ${rule}`)).toEqual([
      "credentials[1].name duplicate",
      "secrets[0].name refused",
    ])
  })

  const remote = (url: string, ...values: string[]) => {
    const headers = values.map((value, index) => ({ name: `H${index}`, value }))
    const declared = {
      credentials: [{ name: "TOKEN" }, { name: "SPARE" }],
      secrets: [{ name: "TEAM_KEY", from: "file:/x" }],
    }
    const { spec } = target({
      ...{ transportType: "streamable-http", image: undefined, port: undefined },
      ...declared,
      remote: { url, headers },
    })
    return findDeclarationErrors(spec)
  }
  test("a header of a remote server may name credentials and secrets of the target, and no others", () => {
    expect(remote("https://a.example/", "Bearer ${TOKEN}", "${TEAM_KEY}:${TOKEN}", "plain", "$${OTHER}")).toEqual([])
    const errors = remote("https://a.example/", "${TOKEN}", "${Token} ${OTHER} ${OTHER}", "$$${TEAM}")
    expect(errors.map(({ path, rule }) => `${path} ${rule}`)).toEqual([
      "remote.headers[1].value undeclared",
      "remote.headers[1].value undeclared",
      "remote.headers[2].value undeclared",
    ])
    expect(errors.map(({ message }) => /^\$\{(\w+)\} is none of/.exec(message)?.[1])).toEqual([
      "Token",
      "OTHER",
      "TEAM",
    ])
  })
  test.each([
    "https://:443/mcp",
    "https://mcp.example.com:65536/",
    "https://mcp.example.com:port/",
    "https://[::1/",
    "https://1.2.3.4.5/",
    "https://a<b.example/",
    "https://a%00b.example/",
  ])("%s is no URL that anybody can call", (url) => {
    expect(remote(url)).toEqual([expect.objectContaining({ path: "remote.url", rule: "url" })])
  })
  test.each(["https://mcp.example.com", "http://localhost:8080/mcp?a=b", "https://[2001:db8::1]:8443/"])(
    "%s is one",
    (url) => {
      expect(remote(url)).toEqual([])
    },
  )
})
