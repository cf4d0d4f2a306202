import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import fc from "fast-check"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { parseCommand } from "../../../src/cli/flags.ts"
import { loadConfig } from "../../../src/config/load.ts"
import type { Role } from "../../../src/config/schema.ts"
import { isAppError } from "../../../src/errors.ts"

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "reflow-config-"))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

type Given = { file?: string; environment?: Record<string, string>; args?: string[]; role?: Role }

/** Loads with a file of this content; without one, no file. */
const load = ({ file, environment = {}, args = [], role = "gateway" }: Given = {}) => {
  const path = join(folder, "reflow.yaml")
  if (file !== undefined) writeFileSync(path, file)
  const from = file === undefined ? [] : ["--config", path]
  const command = parseCommand(["--role", role, ...from, ...args])
  if (command.kind !== "run") throw new Error("not a run")
  return loadConfig({ settings: command.settings, role, environment })
}

/** The lines of the error, without the folder's name. */
const problems = (given: Given): string[] => {
  try {
    load(given)
  } catch (error) {
    if (isAppError(error) && error.code === "ConfigInvalid")
      return error.message
        .replaceAll(`${folder}/`, "")
        .split("\n")
        .slice(1)
        .map((line) => line.trim())
    throw error
  }
  return []
}

test("a static token's subject, groups and roles are valid Unicode: halves of pairs would all be one user", () => {
  const sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
  const tokenWith = (more: string) => ({
    file: `auth: {tokens: [{name: ci, sha256: ${sha256}, ${more}}]}\n`,
  })
  expect(problems(tokenWith('subject: "\\ud83d\\ude00"'))).toEqual([])
  for (const more of ['subject: "u\\ud83d"', 'subject: a, groups: ["u\\ud83d"]', 'subject: a, roles: ["\\udc00"]'])
    expect(problems(tokenWith(more)).join()).toContain("must be valid Unicode")
})

test("without any source everything has its default", () => {
  const { config, sourceOf, warnings } = load()
  expect(config.kubernetes).toMatchObject({
    enabled: true,
    namespace: "reflow",
    idle_ttl: 1_800_000,
    run_as_user: 65532,
  })
  expect(config.gateway).toMatchObject({ listen: "0.0.0.0:8080", max_body: 4 * 2 ** 20 })
  expect(config.kubernetes.stream_ttl).toBeUndefined()
  expect(sourceOf(["kubernetes", "idle_ttl"])).toBe("default")
  expect(warnings).toEqual([])
})

test("the spec's block is a valid file", () => {
  const file = `kubernetes:
  enabled: true
  namespace: reflow # Namespace for MCPInstance CRs
  kubeconfig: "" # Empty = in-cluster config
  idle_ttl: 30m
  max_lifetime: 24h
  gc_interval: 1m
  max_instances: 100
`
  expect(load({ file }).config).toEqual(load().config)
})

test("flags win over the environment, the environment over the file, the file over defaults", () => {
  const { config, sourceOf } = load({
    file: "kubernetes:\n  idle_ttl: 1m\n  max_lifetime: 1h\n  gc_interval: 10s\n",
    environment: { REFLOW_KUBERNETES__IDLE_TTL: "2m", REFLOW_KUBERNETES__MAX_LIFETIME: "2h" },
    args: ["--set", "kubernetes.idle_ttl=3m"],
  })
  const { idle_ttl, max_lifetime, gc_interval, hold_timeout } = config.kubernetes
  expect([idle_ttl, max_lifetime, gc_interval, hold_timeout]).toEqual([180_000, 7_200_000, 10_000, 45_000])
  const sources = ["idle_ttl", "max_lifetime", "gc_interval", "hold_timeout"].map((key) =>
    sourceOf(["kubernetes", key]),
  )
  expect(sources).toEqual([
    "--set kubernetes.idle_ttl",
    "REFLOW_KUBERNETES__MAX_LIFETIME",
    `${folder}/reflow.yaml:4`,
    "default",
  ])
})

test("the role dev listens on this machine only, logs for people, and needs no cluster", () => {
  const { config, sourceOf } = load({ role: "dev", environment: { HOME: "/home/ada" } })
  expect(config.gateway.listen).toBe("127.0.0.1:8080")
  expect(config.kubernetes.enabled).toBe(false)
  expect(config.log.format).toBe("text")
  expect(config.metrics.listen).toBeUndefined()
  expect(config.dev.state_dir).toBe("/home/ada/.local/state/reflow")
  expect(sourceOf(["log", "format"])).toBe("default of --role dev")
  const set = load({ role: "dev", environment: { REFLOW_GATEWAY__LISTEN: "0.0.0.0:80", XDG_STATE_HOME: "/state" } })
  expect(set.config.gateway.listen).toBe("0.0.0.0:80")
  expect(set.config.dev.state_dir).toBe("/state/reflow")
})

test("values of environment and flags are read as their key wants them", () => {
  const { config } = load({
    environment: {
      REFLOW_KUBERNETES__NAMESPACE: "123",
      REFLOW_KUBERNETES__RUN_AS_USER: "",
      REFLOW_KUBERNETES__EVICT_IDLE: "false",
      REFLOW_GATEWAY__LISTEN: "[::1]:8080",
      REFLOW_GATEWAY__ALLOWED_HOSTS: "[a.example, b.example:8080]",
    },
    args: [
      "--set",
      "kubernetes.max_instances=7",
      "--set",
      'gateway.keys_secret="keys"',
      "--set",
      'auth.admin_roles=["a"]',
    ],
  })
  expect(config.kubernetes).toMatchObject({
    namespace: "123",
    run_as_user: undefined,
    evict_idle: false,
    max_instances: 7,
  })
  expect(config.gateway).toMatchObject({
    listen: "[::1]:8080",
    allowed_hosts: ["a.example", "b.example:8080"],
    keys_secret: "keys",
  })
  expect(config.auth.admin_roles).toEqual(["a"])
})

test("variables without '__' are left alone: Kubernetes injects such names", () => {
  const environment = {
    REFLOW_GATEWAY_PORT: "tcp://10.0.0.1:8080",
    REFLOW_GATEWAY_SERVICE_HOST: "10.0.0.1",
    REFLOW: "x",
  }
  expect(load({ environment }).config).toEqual(load().config)
})

test("an empty file, an empty section and a list that replaces another are fine", () => {
  expect(load({ file: "" }).config).toEqual(load().config)
  expect(load({ file: "# nothing\n" }).config).toEqual(load().config)
  expect(load({ file: "kubernetes:\n  # idle_ttl: 1m\nlog:\n" }).config).toEqual(load().config)
  const listed = load({ file: "auth: {admin_roles: [a, b]}", environment: { REFLOW_AUTH__ADMIN_ROLES: "[c]" } })
  expect(listed.config.auth.admin_roles).toEqual(["c"])
})

test("the configuration is frozen through and through", () => {
  const { config } = load({ file: "auth: {admin_roles: [a]}" })
  expect(() => Object.assign(config.kubernetes, { idle_ttl: 1 })).toThrow(TypeError)
  expect(() => config.auth.admin_roles.push("b")).toThrow(TypeError)
})

describe("what is wrong is told with its place", () => {
  test("all at once, in the file's order", () => {
    const file = `kubernetes:
  idle_tll: 5m
  idle_ttl: 5
  max_instances: 0
  run_as_user: root
  namespace:
gateway:
  listen: localhost:99999
  trusted_proxies: [10.0.0.0/33]
  public_url: https://ada:lovelace@example.com
idle_ttl: 5m
log: loud
`
    expect(problems({ file })).toEqual([
      "reflow.yaml:2: kubernetes.idle_tll: unknown key; did you mean idle_ttl?",
      "reflow.yaml:3: kubernetes.idle_ttl: must be a duration such as 30s, 10m or 1h30m, not 5",
      "reflow.yaml:4: kubernetes.max_instances: must be a whole number from 1 to 100000, not 0",
      'reflow.yaml:5: kubernetes.run_as_user: must be a whole number from 0 to 2147483647, or empty, not "root"',
      "reflow.yaml:6: kubernetes.namespace: must be a namespace's name, not empty",
      'reflow.yaml:8: gateway.listen: must have a port up to 65535, not "localhost:99999"',
      'reflow.yaml:9: gateway.trusted_proxies[0]: must be a network such as 10.0.0.0/8 or fd00::/8, or one address, not "10.0.0.0/33"',
      'reflow.yaml:10: gateway.public_url: must be an http(s) origin without a path, e.g. https://mcp.example.com, or empty, not "https://…@example.com"',
      "reflow.yaml:11: idle_ttl: unknown key; did you mean kubernetes.idle_ttl?",
      "reflow.yaml:12: log: must be a map of keys",
    ])
  })

  test.each([
    [
      { REFLOW_KUBERNETES__IDLE_TLL: "5m" },
      "REFLOW_KUBERNETES__IDLE_TLL: kubernetes.idle_tll: unknown key; did you mean kubernetes.idle_ttl?",
    ],
    [
      { REFLOW_KUBERNETES__MAX_INSTANCES: "many" },
      'REFLOW_KUBERNETES__MAX_INSTANCES: kubernetes.max_instances: must be a whole number from 1 to 100000, not "many"',
    ],
    [{ REFLOW_AUTH__ADMIN_ROLES: "[a" }, "REFLOW_AUTH__ADMIN_ROLES: auth.admin_roles: must be a list"],
    [{ REFLOW___PROTO____X: "1" }, "REFLOW___PROTO____X"],
  ])("in the environment: %j", (environment, message) => {
    expect(problems({ environment })).toEqual([expect.stringContaining(message)])
  })

  test("in flags", () => {
    expect(problems({ args: ["--set", "kubernetes=x", "--set", "gateway.max_body=lots"] })).toEqual([
      expect.stringMatching(
        /^--set gateway.max_body: gateway.max_body: must be a size such as 64KiB or 4MiB, not "lots"$/,
      ),
      expect.stringMatching(/^--set kubernetes: kubernetes: is a section: set one of its keys \(enabled, /),
    ])
  })

  test.each([
    ["a: [", "reflow.yaml:1: is not valid YAML"],
    ["log: {level: info}\nlog: {level: warn}\n", "reflow.yaml:2: log: is given twice"],
    ["log: {level: info}\n---\nlog: {level: warn}\n", "reflow.yaml:2: begins a second document"],
    ["- a\n- b\n", "reflow.yaml: must be a map of keys"],
    ["log: *nothing\n", "reflow.yaml: uses aliases that cannot be resolved"],
    ["log: {level: !secret x}\n", "reflow.yaml:1: is not valid YAML: Unresolved tag"],
    [
      "x: &x [a, a]\ny: &y [*x, *x, *x, *x, *x, *x, *x, *x, *x]\nz: &z [*y, *y, *y, *y, *y, *y, *y, *y]\nw: [*z, *z, *z]\n",
      "aliases",
    ],
  ])("in the YAML itself: %j", (file, message) => {
    expect(problems({ file }).join("\n")).toContain(message)
  })

  test("a value that is wrong in a weak source is an error even if a strong source replaces it", () => {
    expect(problems({ file: "log: {level: loud}", args: ["--set", "log.level=info"] })).toHaveLength(1)
  })

  test.runIf(process.getuid?.() !== 0)("a file that may not be read", () => {
    writeFileSync(join(folder, "locked.yaml"), "")
    chmodSync(join(folder, "locked.yaml"), 0)
    expect(problems({ args: ["--config", join(folder, "locked.yaml")] })).toEqual([
      "locked.yaml: may not be read by this user",
    ])
  })

  test("a named file that is absent, or a folder, or too large", () => {
    expect(problems({ args: ["--config", join(folder, "absent.yaml")] })).toEqual(["absent.yaml: does not exist"])
    expect(problems({ args: ["--config", folder] })[0]).toContain("is a folder")
    expect(problems({ file: `# ${"x".repeat(2 ** 20)}` })).toEqual(["reflow.yaml: is larger than 1 MiB"])
  })
})

describe("secrets stay out of the messages", () => {
  const canary = "canary-d41d8cd98f"
  test.each([
    `auth: {tokens: [${canary}]}`,
    `auth: {tokens: ${canary}}`,
    `auth: ${canary}`,
    `auth: {tokens: [{name: a, subject: b, sha256: ${canary}}]}`,
    `auth: {token: ${canary}}`,
    `plugins: [{path: a, config: ${canary}}]`,
    `plugins: [{path: a, config: {x: ${canary}}, extra: ${canary}}]`,
    `gateway: {public_url: "https://me:${canary}@x"}`,
    `password: ${canary}`,
    `auth: {tokens: [{name: a, sha256: "${canary}]}`,
  ])("%s", (file) => {
    const lines = problems({ file })
    expect(lines.length).toBeGreaterThan(0)
    expect(lines.join("\n")).not.toContain(canary)
  })
})

describe("the path of a claim", () => {
  const withRoles = (roles: string) => `auth: {issuers: [{name: a, issuer: https://a, claims: {roles: ${roles}}}]}`
  test.each([
    ["a name", "roles", "roles"],
    ["names separated by dots", "realm_access.roles", "realm_access.roles"],
    ["a URL", '"https://example.com/roles"', "https://example.com/roles"],
    ["a list of names", "[access, my.client, roles]", ["access", "my.client", "roles"]],
  ])("may be %s", (_name, roles, expected) => {
    expect(load({ file: withRoles(roles) }).config.auth.issuers[0]?.claims.roles).toEqual(expected)
  })
  test.each([
    ["empty", '""'],
    ["an empty list", "[]"],
    ["a list with an empty name", '[a, ""]'],
    ["a list with a number", "[a, 7]"],
    ["a list in a list", "[[a]]"],
    ["a map", "{a: b}"],
    ["too many names", `[${Array(17).fill("a")}]`],
    ["too long", "a".repeat(1_025)],
    ["a list with a name that is too long", `[${"a".repeat(1_025)}]`],
  ])("may not be %s", (_name, roles) => {
    const [line = "", ...more] = problems({ file: withRoles(roles) })
    expect(more).toEqual([])
    expect(line).toContain(
      "reflow.yaml:1: auth.issuers[0].claims.roles: must be a claim's name, names separated by dots, or a list of",
    )
    expect(line).not.toContain("not a list")
  })
})

test("a list with the wrong things in it is not said to be none", () => {
  const file = `auth: {tokens: [{name: a, subject: b, sha256: '${"a".repeat(64)}', for: []}]}`
  expect(problems({ file })).toEqual(["reflow.yaml:1: auth.tokens[0].for: must be a list of mcp, api or both"])
})

describe("keys that are wrong together", () => {
  test.each<[string, Given, string]>([
    [
      "a role that needs a cluster",
      { role: "operator", file: "kubernetes: {enabled: false}" },
      "reflow.yaml:1: kubernetes.enabled: must be true for --role operator",
    ],
    [
      "one address for two listeners",
      { args: ["--set", "metrics.listen=0.0.0.0:8080"] },
      "--set metrics.listen: metrics.listen: must differ from gateway.listen",
    ],
    [
      "two issuers of one name",
      { file: "auth:\n  issuers:\n    - {name: a, issuer: https://a}\n    - {name: a, issuer: https://b}\n" },
      "reflow.yaml:4: auth.issuers[1].name: must differ from the others'",
    ],
    [
      "an issuer that calls itself static",
      { file: "auth: {issuers: [{name: static, issuer: https://a}]}" },
      "auth.issuers[0].name: must be a short name",
    ],
    [
      "an issuer whose keys nobody can find",
      { file: "auth: {issuers: [{name: a, issuer: corp}]}" },
      "auth.issuers[0].jwks_url: is missing",
    ],
    [
      "one audience for tools and for the REST API",
      { file: "auth: {issuers: [{name: a, issuer: https://a, audiences: [x], api_audiences: [x]}]}" },
      "auth.issuers[0].api_audiences: must differ from the audiences of MCP endpoints",
    ],
    [
      "a target's audience for the REST API",
      {
        file: "gateway: {public_url: https://m}\nauth: {issuers: [{name: a, issuer: https://a, api_audiences: [https://m/mcp/x]}]}",
      },
      "auth.issuers[0].api_audiences: must differ from the audiences of MCP endpoints",
    ],
    [
      "the gateway's audience for the REST API",
      {
        file: "gateway: {public_url: https://m}\nauth: {issuers: [{name: a, issuer: https://a, api_audiences: [https://m/]}]}",
      },
      "auth.issuers[0].api_audiences: must differ from the audiences of MCP endpoints",
    ],
    [
      "the REST API's audience for tools",
      {
        file: "gateway: {public_url: https://m}\nauth: {issuers: [{name: a, issuer: https://a, audiences: [https://m/api]}]}",
      },
      "auth.issuers[0].audiences: must not contain the public URL's /api",
    ],
  ])("%s", (_name, given, message) => {
    expect(problems(given)).toEqual([expect.stringContaining(message)])
  })

  test.each<[string, readonly string[], number]>([
    ["7 largest bodies", ["--set", "gateway.max_held=28MiB"], 1],
    ["8 largest bodies", ["--set", "gateway.max_held=32MiB"], 0],
    ["a largest body that was raised alone", ["--set", "gateway.max_body=33MiB"], 1],
    [
      "small bodies, but not for those of the REST API",
      ["--set", "gateway.max_body=64KiB", "--set", "gateway.max_held=7MiB"],
      1,
    ],
    [
      "small bodies and those of the REST API",
      ["--set", "gateway.max_body=64KiB", "--set", "gateway.max_held=8MiB"],
      0,
    ],
  ])("gateway.max_held with room for %s", (_name, args, count) => {
    const message = "gateway.max_held: must be at least 8MiB and 8 times gateway.max_body"
    expect(problems({ args: [...args] })).toEqual(Array.from({ length: count }, () => expect.stringContaining(message)))
  })

  test("doubtful ones are warnings", () => {
    const { warnings } = load({ args: ["--set", "kubernetes.hold_timeout=90s", "--set", "kubernetes.max_lifetime=1m"] })
    expect(warnings).toEqual([
      expect.stringContaining("kubernetes.hold_timeout: is longer than 60s"),
      expect.stringContaining("kubernetes.max_lifetime: is shorter than kubernetes.idle_ttl"),
    ])
  })

  test("credentials for packages without their registry are doubtful, and two Secrets for one registry are wrong", () => {
    const { warnings } = load({ args: ["--set", "kubernetes.packages.npm.secret=npm"] })
    expect(warnings).toEqual([
      expect.stringContaining("kubernetes.packages.npm.secret: has credentials for no registry"),
    ])
    const twice =
      "kubernetes.packages.registries=[{url: https://a.example, secret: a}, {url: https://a.example/, secret: b}]"
    expect(problems({ args: ["--set", twice] })).toEqual([
      expect.stringContaining("kubernetes.packages.registries[1].url: must differ from the others'"),
    ])
  })

  test.each<[string, string, readonly string[]]>([
    ["an issuer over plain http", "{name: a, issuer: http://id.example}", ["auth.issuers[0].issuer: is reached over"]],
    [
      "keys over plain http",
      "{name: a, issuer: https://a, jwks_url: http://a/k}",
      ["auth.issuers[0].issuer: is reached"],
    ],
    ["nothing on loopback", "{name: a, issuer: http://127.0.0.1:9000}", []],
    ["nothing over https", "{name: a, issuer: https://id.example}", []],
  ])("warned of is %s", (_name, issuer, expected) => {
    const file = `gateway: {public_url: https://m}\nauth: {issuers: [${issuer}]}`
    expect(load({ file }).warnings).toEqual(expected.map((each) => expect.stringContaining(each)))
  })

  test("warned of is an issuer without a public URL, where clients need it", () => {
    const file = "auth: {issuers: [{name: a, issuer: https://id.example}]}"
    for (const role of ["gateway", "all"] as const)
      expect(load({ file, role }).warnings).toEqual([expect.stringContaining("gateway.public_url: is empty")])
    for (const role of ["operator", "dev"] as const) expect(load({ file, role }).warnings).toEqual([])
  })
})

test("no file, however broken, does anything but load or be refused with a reason", () => {
  const piece = fc.oneof(
    fc.constantFrom(
      "kubernetes",
      "idle_ttl",
      ":",
      " ",
      "\n",
      "  ",
      "- ",
      "{",
      "}",
      "[",
      "]",
      "&a",
      "*a",
      "!!x",
      "'",
      '"',
      "30m",
      "null",
      "---",
      "? ",
      "|",
      "%",
      "#",
      "__proto__",
      "\t",
      "0x1",
    ),
    fc.string({ maxLength: 5 }),
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
      problems({ file: pieces.join("") })
    }),
    { numRuns: 300 },
  )
})
