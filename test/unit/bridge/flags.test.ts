import { describe, expect, test } from "vitest"
import { bridgeHelp, isBridge, parseBridge } from "../../../src/bridge/flags.ts"

const optionsOf = (...flags: readonly string[]) => {
  const command = parseBridge([...flags, "--", "npx", "-y", "--help"])
  if (command.kind !== "run") throw new Error(command.kind)
  return command.options
}

describe("the flags of the role bridge", () => {
  test("have defaults for everything but the command, whose own flags are not read", () => {
    expect(optionsOf()).toEqual({
      command: ["npx", "-y", "--help"],
      host: "127.0.0.1",
      port: 8080,
      path: "/mcp",
      processes: "per_session",
      maxProcesses: 8,
      idleMs: 1_800_000,
      startMs: 120_000,
      singleUser: false,
      guarded: false,
    })
  })

  test("set each option", () => {
    const flags = ["--role", "bridge", "--listen", "*:0", "--path", "/a/b", "--processes", "shared", "--guard"]
    const others = [
      "--max-processes=3",
      "--idle-ttl=90s",
      "--start-timeout=1500ms",
      "--single-user",
      "--hint-file=/a/hint",
    ]
    expect(optionsOf(...flags, ...others)).toMatchObject({
      ...{ host: undefined, port: 0, path: "/a/b", processes: "shared", maxProcesses: 3 },
      ...{ idleMs: 90_000, startMs: 1_500, singleUser: true, guarded: true, hintFile: "/a/hint" },
    })
    expect(optionsOf("--listen", "[::1]:65535")).toMatchObject({ host: "::1", port: 65_535 })
    expect(optionsOf("--listen", "localhost:1")).toMatchObject({ host: "localhost", port: 1 })
  })

  test.for([
    [["--listen", "8080"], "--listen needs HOST:PORT"],
    [["--listen", "a:65536"], "--listen needs HOST:PORT"],
    [["--listen", ":1"], "--listen needs HOST:PORT"],
    [["--listen", "::1:80"], "--listen needs HOST:PORT"],
    [["--path", "mcp"], "--path must begin with '/'"],
    [["--path", "/a?b"], "--path must begin with '/'"],
    [["--processes", "many"], "--processes must be per_session or shared"],
    [["--max-processes", "0"], "--max-processes needs a number from 1 on"],
    [["--max-processes", "1.5"], "--max-processes needs a number from 1 on"],
    [["--idle-ttl", "soon"], "--idle-ttl needs a duration"],
    [["--idle-ttl", "0s"], "--idle-ttl needs a duration"],
    [["--start-timeout", "5"], "--start-timeout needs a duration"],
    [["--unknown"], "--unknown"],
    [["--guard=yes"], "--guard"],
    [["--role", "bridge", "--role", "gateway"], "--role can be given once"],
    [["--role=bridge", "--role", "bridge"], "--role can be given once"],
    [["--role", "dev"], "--role can be given once"],
    [["stray"], "stray"],
  ] as const)("%j: a mistake is told", ([flags, words]) => {
    expect(() => optionsOf(...flags)).toThrow(expect.objectContaining({ code: "UsageInvalid" }))
    expect(() => optionsOf(...flags)).toThrow(words)
  })

  test.for([[[]], [["--guard"]], [["--"]], [["--guard", "--"]]])("%j names no command", ([flags = []]) => {
    expect(() => parseBridge(flags)).toThrow("Say which command")
  })

  test("help needs no command, and names each flag", () => {
    expect(parseBridge(["-h"])).toEqual({ kind: "help" })
    for (const flag of [
      "listen",
      "path",
      "processes",
      "max-processes",
      "idle-ttl",
      "start-timeout",
      "single-user",
      "hint-file",
      "guard",
    ])
      expect(bridgeHelp).toContain(`--${flag}`)
  })
})

test.for([
  [["--role", "bridge", "--", "x"], true],
  [["--role=bridge"], true],
  [["--guard", "--role", "bridge"], true],
  [["--role", "dev"], false],
  [["--role"], false],
  [["bridge"], false],
  [["--role", "dev", "--", "--role", "bridge"], false],
  [["--", "--role=bridge"], false],
  [[], false],
] as const)("%j asks for the role bridge: %s", ([argv, answer]) => {
  expect(isBridge(argv)).toBe(answer)
})
