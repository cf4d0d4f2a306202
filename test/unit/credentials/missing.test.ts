import { describe, expect, test } from "vitest"
import type { MCPTargetSpec } from "../../../src/api/kinds/mcp-target.ts"
import { credentialMissing } from "../../../src/credentials/explain.ts"
import { aTarget } from "../../support/build/target.ts"

const api = "https://mcp.example.com/api"
const saidOf = (
  credentials: readonly { readonly name: string; readonly description?: string }[],
  spec: Partial<MCPTargetSpec> = {},
  apiUrl: string | undefined = api,
) => credentialMissing(aTarget({ name: "github", spec }), credentials, apiUrl)

describe("what somebody reads whose credential is missing", () => {
  test("is which one, what it is, and the command that sets it and nothing else", () => {
    const { code, message, data } = saidOf([{ name: "GITHUB_TOKEN", description: "Make one at github.com/settings." }])
    const command = `curl -X PATCH ${api}/targets/github/env/me -H 'Authorization: Bearer TOKEN' -H 'Content-Type: application/merge-patch+json' -d '{"GITHUB_TOKEN":"VALUE"}'`
    expect(code).toBe("CredentialMissing")
    expect(message).toBe(
      `github needs the credential GITHUB_TOKEN. GITHUB_TOKEN: Make one at github.com/settings. Set yours with: ${command} (TOKEN is a token for ${api}).`,
    )
    expect(data).toEqual({
      names: ["GITHUB_TOKEN"],
      credentials: [{ name: "GITHUB_TOKEN", description: "Make one at github.com/settings." }],
      url: `${api}/targets/github/env/me`,
      command,
    })
  })
  test.each([
    ["others share the instance", { isolationBoundary: "shared" as const }],
    ["a group shares it", { isolationBoundary: "per_group" as const }],
    ["a strategy says who shares it", { subjectKey: { strategy: "claim" } }],
  ])("names an administrator where %s", (_name, spec) => {
    const { message, data } = saidOf([{ name: "A" }], spec)
    expect(message).toContain("github needs the credential A. An administrator can set it for everybody with: curl")
    expect(data?.url).toBe(`${api}/targets/github/env/default`)
  })
  test("has no command where there is no REST API", () => {
    const { message, data } = credentialMissing(aTarget({ name: "github" }), [{ name: "A" }], undefined)
    expect(message).toBe("github needs the credential A.")
    expect(data).toEqual({ names: ["A"], credentials: [{ name: "A" }] })
  })
  test("stays one line of bounded length, whatever the target's author wrote", () => {
    const hostile = `a\n\u001b[31m\u202e\u2028\ud800${" b".repeat(500)}`
    const many = Array.from({ length: 100 }, (_, index) => ({ name: `NAME_${index}`, description: hostile }))
    const { message, data } = saidOf(many)
    expect(message).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u)
    expect(message.isWellFormed()).toBe(true)
    expect(message.length).toBeLessThan(3_000)
    expect(message).toContain("NAME_19 and 80 more.")
    expect(data?.names).toHaveLength(100)
    expect(JSON.stringify(data?.credentials)).not.toMatch(/\\u001b|\u202e|\\n/)
  })
  test("has no empty description", () => {
    expect(saidOf([{ name: "A", description: " \n" }]).message).toContain("credential A. Set yours")
  })
})
