import { describe, expect, test } from "vitest"
import { identifierPatterns, registryUrlPattern, versionPatterns } from "../../../src/api/kinds/package.ts"
import { installHelp, isInstall, parseInstall, patterns } from "../../../src/install/flags.ts"

const fewest = {
  type: "npm",
  name: "@x/mcp",
  version: "1.2.3",
  folder: "/tree",
  link: "/bin",
}

const parse = (changes: Readonly<Record<string, string | undefined>> = {}, more: readonly string[] = []) =>
  parseInstall([
    ...Object.entries({ ...fewest, ...changes }).flatMap(([name, value]) =>
      value === undefined ? [] : [`--${name}=${value}`],
    ),
    ...more,
  ])

test("the fewest flags say what to install, and where", () => {
  expect(parse()).toEqual({
    kind: "run",
    order: {
      type: "npm",
      name: "@x/mcp",
      version: "1.2.3",
      before: undefined,
      registry: undefined,
      secretFolder: undefined,
      bin: undefined,
      allowScripts: false,
      folder: "/tree",
      seenAs: "/tree",
      link: "/bin",
      scratch: undefined,
      timeoutMs: 300_000,
      messageFile: undefined,
    },
  })
})

test("all flags together are understood", () => {
  const changes = {
    type: "pypi",
    name: "Mcp_Server",
    version: "2!1.0rc1.post2.dev3+local.1",
    before: "2028-02-29",
    registry: "https://python.example.com:8443/simple/",
    "registry-secret-folder": "/registry",
    bin: "serve",
    "seen-as": "/seen",
    scratch: "/scratch",
    timeout: "90000ms",
    "message-file": "/message",
  }
  expect(parse(changes, ["--allow-scripts", "--role", "install"])).toMatchObject({
    order: {
      type: "pypi",
      name: "Mcp_Server",
      before: "2028-02-29",
      registry: "https://python.example.com:8443/simple/",
      secretFolder: "/registry",
      bin: "serve",
      allowScripts: true,
      seenAs: "/seen",
      scratch: "/scratch",
      timeoutMs: 90_000,
      messageFile: "/message",
    },
  })
})

describe("a value that could be anything else is refused:", () => {
  test.for([
    { type: "oci" },
    { type: undefined },
    { name: undefined },
    { name: "" },
    { name: "-g" },
    { name: "--global" },
    { name: "." },
    { name: ".." },
    { name: "/etc/passwd" },
    { name: "x/y" },
    { name: "@x" },
    { name: "@x/y/z" },
    { name: "@-x/y" },
    { name: "Upper" },
    { name: "x y" },
    { name: "x\n" },
    { name: "x@npm:y" },
    { name: "git+ssh://x.example/y" },
    { name: `x${"y".repeat(2_000)}` },
    { type: "pypi", name: "x[extra]" },
    { type: "pypi", name: "x ; sys_platform" },
    { type: "pypi", name: "-x", version: "1" },
    { type: "pypi", name: "x", version: ">=1" },
    { type: "pypi", name: "x", version: "1.*" },
    { type: "pypi", name: "x", version: "1 @ file:///x" },
    { version: undefined },
    { version: "latest" },
    { version: "^1.2.3" },
    { version: "1.2" },
    { version: "1.2.3 || 2.0.0" },
    { version: "1.2.3\n" },
    { version: "npm:y@1.2.3" },
    { before: "2026-02-31" },
    { before: "2026-1-1" },
    { before: "yesterday" },
    { registry: "ftp://npm.example.com/" },
    { registry: "https://user:password@npm.example.com/" },
    { registry: "https://npm.example.com/?x" },
    { registry: "https://npm.example.com/#x" },
    { registry: "https://npm.example.com:99999/" },
    { registry: "https://npm.example.com/$(id)" },
    { bin: "../x" },
    { bin: "-x" },
    { bin: "x y" },
    { bin: "" },
    { folder: undefined },
    { folder: "relative" },
    { link: undefined },
    { link: "relative" },
    { scratch: "relative" },
    { "seen-as": "relative" },
    { "message-file": "relative" },
    { "registry-secret-folder": "/x\0y" },
    { timeout: "0s" },
    { timeout: "soon" },
    { timeout: "9000h" },
  ])("%j", (changes) => {
    expect(() => parse(changes)).toThrow(expect.objectContaining({ code: "UsageInvalid" }))
  })

  test.for([["surplus"], ["--unknown"], ["--role", "bridge"], ["--", "x"]])("%j", (more) => {
    expect(() => parse({}, more)).toThrow(expect.objectContaining({ code: "UsageInvalid" }))
  })
})

test("the patterns are those of the targets", () => {
  for (const type of ["npm", "pypi"] as const) {
    expect(patterns[type].name).toEqual(identifierPatterns[type])
    expect(patterns[type].version).toEqual(versionPatterns[type])
  }
  expect(patterns.registry).toEqual(registryUrlPattern)
})

test("the role is recognised in both forms, and not behind --", () => {
  expect(isInstall(["--role", "install"])).toBe(true)
  expect(isInstall(["--role=install", "--help"])).toBe(true)
  expect(isInstall(["--role", "bridge", "--", "--role", "install"])).toBe(false)
  expect(isInstall(["install"])).toBe(false)
})

test("the help names every flag", () => {
  expect(parseInstall(["--role", "install", "--help"])).toEqual({ kind: "help" })
  const named = [...installHelp.matchAll(/^ {2}--([a-z-]+)/gm)].map(([, name]) => name)
  expect(named).toEqual([
    "type",
    "name",
    "version",
    "before",
    "registry",
    "registry-secret-folder",
    "bin",
    "allow-scripts",
    "folder",
    "seen-as",
    "link",
    "scratch",
    "timeout",
    "message-file",
  ])
})
