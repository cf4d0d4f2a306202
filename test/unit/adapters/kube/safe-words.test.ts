import { describe, expect, test } from "vitest"
import { quotaMessage, safeMessage } from "../../../../src/adapters/kube/status.ts"

const canary = "c2VjcmV0LWNhbmFyeQ=="
const quota = "exceeded quota: tight, requested: count/secrets=1,secrets=1, used: secrets=10, limited: secrets=10"

describe("a quota's words", () => {
  test.each([
    `secrets "github-user-abc-x1y2z" is forbidden: ${quota}`,
    `mcpinstances.mcp.reflow.io "github-user-abc" is forbidden: ${quota}`,
  ])("are told as they are: %s", (message) => {
    expect(quotaMessage(message)).toBe(quota)
    expect(safeMessage(message)).toBe(quota)
  })

  test.each([
    ["in a webhook's mouth", `admission webhook "x" denied the request: secrets "a" is forbidden: ${quota}`],
    ["with more behind them", `secrets "a" is forbidden: ${quota}, data: ${canary}`],
    ["with more in them", `secrets "a" is forbidden: ${quota} ${canary}`],
    [
      "with other words in between",
      `secrets "a" is forbidden: exceeded quota: ${canary} ${canary}, requested: a, used: b`,
    ],
  ])("are none %s", (_, message) => {
    expect(quotaMessage(message)).toBeUndefined()
    expect(safeMessage(message) ?? "").not.toContain("quota")
  })
})

describe("of a message about a Secret is told", () => {
  test.each([
    [
      'secrets is forbidden: User "system:serviceaccount:reflow-system:reflow-gateway" cannot create resource "secrets" in API group "" in the namespace "reflow"',
      /cannot create resource "secrets".*"reflow"$/,
    ],
    [
      'secrets "a-x1" is forbidden: unable to create new content in namespace reflow because it is being terminated',
      /terminated$/,
    ],
    ['namespaces "reflow" not found', /not found$/],
    [`admission webhook "vault.example" denied the request: ${canary}`, /"vault.example" denied the request$/],
    [`Internal error occurred: failed calling webhook "w.example": Post ${canary}`, /webhook "w.example"$/],
    [
      `secrets "a" is forbidden: ValidatingAdmissionPolicy 'p.example' with binding 'b.example' denied request: ${canary}`,
      /'p.example' with binding 'b.example' denied request$/,
    ],
  ])("who refused it, and nothing of what it says: %s", (message, expected) => {
    const said = safeMessage(message)
    expect(said).toMatch(expected)
    expect(said).not.toContain(canary)
  })

  test.each([`Secret "a" is invalid: data[A]: Invalid value: "${canary}"`, canary, ""])(
    "nothing of what is not known: %s",
    (message) => expect(safeMessage(message)).toBeUndefined(),
  )
})
