import { expect, test } from "vitest"
import { parse } from "yaml"
import { commands, flags, helpText } from "../../../src/cli/commands.ts"
import { parseCommand } from "../../../src/cli/flags.ts"
import { leafKeys } from "../../../src/config/key-tree.ts"
import { configReport, loadConfig, schemaReport } from "../../../src/config/load.ts"

const canary = "a".repeat(64)
const report = (...args: string[]): string => {
  const command = parseCommand(["config", ...args])
  if (command.kind !== "config") throw new Error("not config")
  const { values, sourceOf } = loadConfig({ settings: command.settings, environment: { REFLOW_LOG__LEVEL: "debug" } })
  return configReport(values, sourceOf)
}

test("reflow config prints every key with its value and its source", () => {
  const lines = report("--set", "kubernetes.idle_ttl=10m").split("\n")
  expect(lines).toContain("  idle_ttl: 10m # --set kubernetes.idle_ttl")
  expect(lines).toContain("  level: debug # REFLOW_LOG__LEVEL")
  expect(lines).toContain("  max_body: 4MiB # default")
  for (const key of leafKeys.keys())
    expect(
      lines.some((line) => line.trim().startsWith(`${key.split(".").at(-1)}:`)),
      key,
    ).toBe(true)
})

/** Each value that is not a map, with its path; an empty list sets nothing. */
const leavesOf = (tree: unknown, path: readonly string[]): readonly (readonly [readonly string[], unknown])[] =>
  typeof tree === "object" && tree !== null && !Array.isArray(tree)
    ? Object.entries(tree).flatMap(([name, value]) => leavesOf(value, [...path, name]))
    : [[path, tree]]

test("what reflow config prints is a valid configuration that means the same", () => {
  const text = report("--set", "gateway.allowed_hosts=[a.example]", "--set", "kubernetes.run_as_user=")
  const again = parse(text) as Record<string, unknown>
  const settings = {
    file: undefined,
    assignments: leavesOf(again, []).map(([path, value]) => ({ path, text: JSON.stringify(value), source: "again" })),
  }
  const { values } = loadConfig({ settings, environment: {} })
  expect(values).toEqual(again)
})

test("the path of a claim is shown as it is written, text or list", () => {
  const claims = "{roles: [access, my.client, roles], groups: a.b}"
  const text = report("--set", `auth.issuers=[{name: corp, issuer: https://id.example, claims: ${claims}}]`)
  expect(parse(text).auth.issuers[0].claims).toEqual({
    subject: "sub",
    email: "email",
    roles: ["access", "my.client", "roles"],
    groups: "a.b",
  })
})

test("secrets are masked", () => {
  const text = report(
    "--set",
    `auth.tokens=[{name: ci, sha256: ${canary}, subject: ci}]`,
    "--set",
    "plugins=[{path: a.mjs, config: {password: hunter2}}]",
  )
  expect(text).toContain("name: ci")
  expect(text).not.toContain(canary)
  expect(text).not.toContain("hunter2")
  expect(text).toContain('config: "***"')
})

test("the JSON Schema describes every key and demands none", () => {
  const schema = JSON.parse(schemaReport())
  expect(schema.properties.kubernetes.properties.idle_ttl).toMatchObject({ type: "string", default: "30m" })
  expect(schema.required).toBeUndefined()
  for (const [key, node] of leafKeys) expect(node.description, key).toMatch(/\S\.$/)
})

test("--help is short and names every flag and command", () => {
  const lines = helpText.split("\n")
  expect(lines.length).toBeLessThan(45)
  for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(120)
  for (const flag of Object.keys(flags)) expect(helpText).toContain(`--${flag}`)
  for (const { usage, help } of Object.values(commands))
    expect(helpText).toMatch(`  reflow ${usage.padEnd(33)} ${help}\n`)
})
