import { describe, expect, test } from "vitest"
import { parseCommand } from "../../../src/cli/flags.ts"
import { hasCode } from "../../../src/errors.ts"

const refusal = (...argv: string[]): string => {
  try {
    return `accepted: ${JSON.stringify(parseCommand(argv))}`
  } catch (error) {
    return hasCode(error, "UsageInvalid") ? error.message : `another error: ${error}`
  }
}

test.each([[["--role", "dev"]], [["--role=dev"]]])("%j runs the role dev", (argv) => {
  const settings = { file: undefined, assignments: [] }
  expect(parseCommand(argv)).toEqual({ kind: "run", role: "dev", settings, fresh: false })
})

test("--fresh is the role dev's alone", () => {
  expect(parseCommand(["--role", "dev", "--fresh"])).toMatchObject({ kind: "run", fresh: true })
  expect(refusal("--role", "all", "--fresh")).toContain("--fresh can be used with --role dev only")
  expect(refusal("token", "--subject", "a", "--fresh")).toContain("--fresh cannot be used with 'reflow token'")
})

test("--config, --set and --targets become settings, the flags in their order", () => {
  const argv = [
    "--role=dev",
    "--config=a.yaml",
    "--set",
    "log.level=debug",
    "--set=kubernetes.idle_ttl=1m",
    "--targets",
    "t",
  ]
  expect(parseCommand(argv)).toMatchObject({
    settings: {
      file: "a.yaml",
      assignments: [
        { path: ["log", "level"], text: "debug", source: "--set log.level" },
        { path: ["kubernetes", "idle_ttl"], text: "1m" },
        { path: ["dev", "targets"], text: '["t"]', source: "--targets" },
      ],
    },
  })
})

test("a value of --set may hold '=' and newlines, and be empty", () => {
  const texts = ["a=b=c", "a=x\ny", "a="].map((text) => {
    const command = parseCommand(["--role", "dev", "--set", text])
    return command.kind === "run" ? command.settings.assignments[0]?.text : undefined
  })
  expect(texts).toEqual(["b=c", "x\ny", ""])
})

test("help and version win over everything else that is well-formed", () => {
  expect(parseCommand(["--role", "dev", "--help"])).toEqual({ kind: "help" })
  expect(parseCommand(["-h"])).toEqual({ kind: "help" })
  expect(parseCommand(["config", "--version"])).toEqual({ kind: "version" })
})

test("check looks at both roles of a real cluster, or at the one that is named", () => {
  expect(parseCommand(["check"])).toEqual({
    kind: "check",
    role: "all",
    settings: { file: undefined, assignments: [] },
  })
  expect(parseCommand(["check", "--role", "gateway", "--config", "a.yaml"])).toMatchObject({
    role: "gateway",
    settings: { file: "a.yaml" },
  })
  expect(parseCommand(["check", "--reach", "http://reflow-gateway.a"])).toMatchObject({
    reach: "http://reflow-gateway.a",
  })
  expect(refusal("check", "--reach", "reflow-gateway:80")).toContain("--reach needs an http(s) URL")
  expect(refusal("--role", "gateway", "--reach", "http://a")).toContain("cannot be used with")
  expect(refusal("check", "--role", "dev")).toContain("embedded")
  expect(refusal("check", "--schema")).toContain("'reflow check'")
})

test("config takes a role and --schema", () => {
  expect(parseCommand(["config", "--schema", "--role", "all"])).toMatchObject({
    kind: "config",
    role: "all",
    schema: true,
  })
  expect(parseCommand(["config"])).toMatchObject({ kind: "config", role: undefined, schema: false })
})

test("plugin check takes files, their configuration and that of their hooks", () => {
  expect(parseCommand(["plugin", "check", "a.mjs"])).toEqual({
    kind: "plugin",
    paths: ["a.mjs"],
    settings: {},
    hookSettings: {},
    caller: { subject: undefined, groups: [], roles: [], claims: {} },
    references: [],
    print: false,
  })
  const given = ["plugin", "check", "a.mjs", "b.ts", "--settings", '{"a":1}', "--hook-settings", '{"b":2}']
  expect(parseCommand(given)).toMatchObject({ paths: ["a.mjs", "b.ts"], settings: { a: 1 }, hookSettings: { b: 2 } })
})

test("plugin check takes a caller and references, and prints what it is told to", () => {
  const caller = ["--subject", "bob", "--group", "eng", "--email", "b@x.example", "--claim", "level:=3"]
  const references = ["--reference", "vault:team/a#b=c", "--reference", "TOKEN=vault:x", "--reference", "odd=:x:=y"]
  expect(parseCommand(["plugin", "check", "a.mjs", ...caller, ...references.slice(0, 4), "--print"])).toMatchObject({
    caller: { subject: "bob", groups: ["eng"], claims: { email: "b@x.example", level: 3 } },
    references: [
      { name: "VALUE", from: "vault:team/a#b=c" },
      { name: "TOKEN", from: "vault:x" },
    ],
    print: true,
  })
  expect(refusal("plugin", "check", "a.mjs", ...references)).toContain("--reference needs a value as in secrets[].from")
})

test("token takes a subject, groups, roles, claims, purposes and a lifetime", () => {
  const argv = [
    "token",
    "--subject",
    "alice",
    "--group",
    "eng",
    "--group=ops",
    "--grant-role",
    "admin",
    "--claim",
    "tenant=acme=1",
    "--claim",
    "region=eu",
    "--for",
    "mcp,api",
    "--ttl",
    "1h",
  ]
  expect(parseCommand(argv)).toMatchObject({
    kind: "token",
    subject: "alice",
    groups: ["eng", "ops"],
    roles: ["admin"],
    claims: { tenant: "acme=1", region: "eu" },
    purposes: ["mcp", "api"],
    ttlMs: 3_600_000,
  })
  expect(parseCommand(["token", "--subject", "bob"])).toMatchObject({
    purposes: ["mcp", "api"],
    groups: [],
    roles: [],
    ttlMs: 2_592_000_000,
  })
})

test("token takes a mail address, and claims that are no text after :=", () => {
  const claims = [
    "beta:=true",
    "level:=3",
    'tags:=["a","b"]',
    "https://corp.example/tenant:=null",
    "text=true",
    "odd=a:=b",
  ]
  const argv = ["token", "--subject", "a", "--email", "a@corp.example", ...claims.flatMap((each) => ["--claim", each])]
  expect(parseCommand(argv)).toMatchObject({
    claims: {
      email: "a@corp.example",
      beta: true,
      level: 3,
      tags: ["a", "b"],
      "https://corp.example/tenant": null,
      text: "true",
      odd: "a:=b",
    },
  })
})

describe("wrong use is refused with what to do", () => {
  test.each([
    [[], "Missing: --role gateway|operator|all|dev, or one of the commands config, check, token"],
    [["--rol", "dev"], "Unknown flag --rol; did you mean --role?"],
    [["--constructor"], "Unknown flag --constructor"],
    [["-x"], "Unknown flag -x"],
    [["--role", "devv"], "--role must be one of gateway, operator, all, dev, not 'devv'; did you mean dev?"],
    [["--role"], "--role needs a value: --role gateway|operator|all|dev"],
    [["--config", "--role", "dev"], "--config needs a value: --config FILE"],
    [["--role", "dev", "--role", "all"], "--role is given twice"],
    [["--role", "dev", "--set", "log.level"], "--set needs KEY=VALUE"],
    [["--role", "dev", "--schema"], "--schema cannot be used with 'reflow --role'"],
    [["config", "--schema=yes"], "--schema takes no value"],
    [["--role", "all", "--targets", "x"], "--targets can be used with --role dev only"],
    [["confg"], "Unknown command 'confg'; did you mean config?"],
    [["config", "more"], "Unexpected argument 'more'"],
    [["completion"], "Say which shell: reflow completion bash|zsh"],
    [["completion", "tcsh"], "Say which shell: reflow completion bash|zsh"],
    [["completion", "bash", "zsh"], "Say which shell: reflow completion bash|zsh"],
    [["token"], "reflow token --subject NAME"],
    [["token", "--subject", ""], "reflow token --subject NAME"],
    [["token", "--subject", "a", "--for", "all"], "--for must be mcp, api, or mcp,api"],
    [["token", "--subject", "a", "--claim", "tenant"], "--claim needs NAME=TEXT"],
    [["token", "--subject", "a", "--claim", "sub=bob"], "--claim cannot set sub"],
    [["token", "--subject", "a", "--claim", "groups:=[]"], "--claim cannot set groups"],
    [["token", "--subject", "a", "--claim", "beta:=yes"], "--claim beta:= must be followed by JSON"],
    [["token", "--subject", "a", "--claim", "a=1", "--claim", "a:=1"], "The claim a is given twice"],
    [["token", "--subject", "a", "--claim", "email=b", "--email", "c"], "The claim email is given twice"],
    [["plugin", "check", "a.mjs", "--hook-settings", "{"], "--hook-settings must be JSON"],
    [["plugin", "check"], "Say which file"],
    [["token", "--subject", "a", "--ttl", "5"], "--ttl must be a duration"],
    [["token", "--subject", "a", "--role", "admin"], "--role cannot be used with 'reflow token'"],
  ])("%j", (argv, message) => {
    expect(refusal(...argv)).toContain(message)
  })
})

test("target from takes a document, a name, a kind, values of inputs and an entrypoint", () => {
  expect(parseCommand(["target", "from", "server.json"])).toEqual({
    kind: "target",
    path: "server.json",
    name: undefined,
    prefer: undefined,
    arguments: new Map(),
    command: [],
  })
  const given = ["--argument", "A=b=c", "--argument=--port=80", "--argument", "A=", "--argument", "__proto__=x"]
  const more = ["--name", "n", "--prefer", "oci", "--command", "node", "--command=--inspect"]
  expect(parseCommand(["target", "from", "-", ...given, ...more])).toMatchObject({
    path: "-",
    name: "n",
    prefer: "oci",
    command: ["node", "--inspect"],
    arguments: new Map([
      ["A", ["b=c", ""]],
      ["--port", ["80"]],
      ["__proto__", ["x"]],
    ]),
  })
  for (const argv of [["target"], ["target", "from"], ["target", "of", "a"], ["target", "from", "a", "b"]])
    expect(refusal(...argv)).toContain("reflow target from FILE")
  expect(refusal("target", "from", "a", "--prefer", "nuget")).toContain(
    "--prefer must be one of oci, npm, pypi, remote",
  )
  expect(refusal("target", "from", "a", "--argument", "=x")).toContain("--argument needs NAME=VALUE")
  expect(refusal("target", "from", "a", "--argument", "x")).toContain("--argument needs NAME=VALUE")
  expect(refusal("config", "--prefer", "oci")).toContain("cannot be used with 'reflow config'")
})
