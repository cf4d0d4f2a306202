import { describe, expect, test } from "vitest"
import { mcpInstanceKind } from "../../../../src/api/kinds/mcp-instance.ts"
import { labels } from "../../../../src/api/names.ts"
import { toInstance } from "../../../../src/placement/make/create.ts"
import { target } from "../../../support/build/who.ts"

const plan = {
  name: "github-user-abc",
  namespace: "reflow",
  target: target(),
  subjectKey: "user:abc",
  secretName: "github-user-abc-xyz12",
  scopes: ["github-env-default", "github-env-user-x"],
}

describe("a new instance", () => {
  test("takes over from its target what concerns the container and its life, and nothing else", () => {
    const container = {
      image: "github@sha256:1",
      port: 3000,
      path: "/rpc",
      command: ["node"],
      args: ["x.js"],
      env: [{ name: "MODE", value: "x" }],
      healthPath: "/healthz",
      resources: { limits: { cpu: "1" } },
      security: { runAsUser: 1000 },
      idleTTL: "10m",
      maxLifetime: "1h",
      startTimeout: "2m",
      imagePullPolicy: "Always" as const,
      imagePullSecrets: ["pull"],
      podTemplates: [{ name: "labels" }],
    }
    const { spec } = toInstance({
      ...plan,
      target: target({ ...container, paused: false, access: { users: ["a"] }, credentials: [{ name: "TOKEN" }] }),
    })
    expect(spec).toEqual({
      ...container,
      targetName: "github",
      targetUID: "target-uid",
      subjectKey: "user:abc",
      secretName: "github-user-abc-xyz12",
    })
  })

  test("belongs to its target, records its scopes, and shows its subject only if it may", () => {
    const { metadata } = toInstance({ ...plan, subject: "corp/alice" })
    expect(metadata.ownerReferences).toEqual([
      { apiVersion: "mcp.reflow.io/v1alpha1", kind: "MCPTarget", name: "github", uid: "target-uid" },
    ])
    expect(metadata.labels).toMatchObject({ [labels.target]: "github", [labels.instance]: "github-user-abc" })
    expect(metadata.annotations).toEqual({
      [labels.credentialScopes]: "github-env-default,github-env-user-x",
      [labels.subject]: "corp/alice",
    })
    expect(toInstance(plan).metadata.annotations).not.toHaveProperty(labels.subject)
  })

  test("says when its values expire", () => {
    const expiresAt = Date.parse("2030-01-01T00:00:00Z")
    expect(toInstance({ ...plan, expiresAt }).spec.secretExpireTime).toBe("2030-01-01T00:00:00.000Z")
    expect(toInstance(plan).spec).not.toHaveProperty("secretExpireTime")
  })

  test("is what the kind's schema and rules accept", () => {
    const made = toInstance(plan)
    expect(mcpInstanceKind.schema?.safeParse(made).success).toBe(true)
    expect(mcpInstanceKind.rules?.filter(({ path }) => path === "").every(({ holds }) => holds(made))).toBe(true)
  })
})
