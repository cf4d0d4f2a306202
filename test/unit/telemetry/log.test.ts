import { describe, expect, test } from "vitest"
import { AppError } from "../../../src/errors.ts"
import { createLogger, type LogOptions } from "../../../src/telemetry/log.ts"

const canary = "canary-5f4dcc3b5aa765d6"

const capture = (format: LogOptions["format"], level: LogOptions["level"] = "debug") => {
  const lines: string[] = []
  return { lines, log: createLogger({ level, format, write: (line) => void lines.push(line) }) }
}

/** What a JSON logger wrote, parsed. */
const written = (write: (log: ReturnType<typeof createLogger>) => void): Record<string, unknown>[] => {
  const { lines, log } = capture("json")
  write(log)
  return lines.map((line) => JSON.parse(line))
}

test("a json line has time, level, message, the logger's own fields and its own", () => {
  const [line] = written((log) => log.child({ request: "r1" }).warn("slow", { seconds: 3 }))
  expect(line).toEqual({
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
    level: "warn",
    message: "slow",
    request: "r1",
    seconds: 3,
  })
})

test("lines below the level are not written", () => {
  const { lines, log } = capture("json", "warn")
  log.debug("a")
  log.info("b")
  log.warn("c")
  log.error("d")
  expect(lines).toHaveLength(2)
})

test("an error is written with its code, its sentence and what caused it, the nearest first", () => {
  const root = Object.assign(new Error("connect 10.0.0.1:443"), { code: "ECONNREFUSED" })
  const error = new AppError("ClusterUnavailable", {
    detail: "No answer.",
    cause: new Error("fetch failed", { cause: root }),
  })
  const [line] = written((log) => log.error("broke", { error }))
  expect(line?.error).toMatchObject({
    code: "ClusterUnavailable",
    message: "No answer.",
    causes: [{ message: "fetch failed" }, { code: "ECONNREFUSED", message: "connect 10.0.0.1:443" }],
    stack: expect.stringMatching(/^at /),
  })
})

test("causes that go round in a circle end", () => {
  const error = new Error("a")
  error.cause = error
  expect(written((log) => log.error("broke", { error }))).toHaveLength(1)
})

test.each(["json", "text"] as const)(
  "nothing in a line of %s commands a terminal or turns its writing around",
  (format) => {
    const evil = "a\u009b31mb\u001b[2Jc\u202ed\u{e0041}e\u2028f\u007f"
    const { lines, log } = capture(format)
    log.warn(evil, { why: evil, error: new AppError("Internal", { detail: evil }) })
    expect(lines.join("")).toMatch(/^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+\n$/u)
    if (format === "json") expect(JSON.parse(lines[0] ?? "")).toMatchObject({ message: evil, why: evil })
  },
)

describe.each(["json", "text"] as const)("no secret is in a line of %s", (format) => {
  const error = Object.assign(
    new AppError("Unauthenticated", {
      detail: `Bearer ${canary} is not valid`,
      data: { token: canary },
      headers: { "x-token": canary },
      cause: Object.assign(new Error(`GET https://me:${canary}@host failed`), { options: { headers: [canary] } }),
    }),
    { request: { authorization: canary } },
  )
  test.each<[string, Record<string, unknown>]>([
    ["under a telling name", { token: canary, Authorization: canary, "set-cookie": [canary], password: canary }],
    ["deep inside", { request: { headers: { "x-any": canary } }, target: { env: [{ value: canary }] } }],
    ["in an error", { error }],
    ["in a text", { note: `sent authorization: Bearer ${canary}`, url: `https://user:${canary}@host/` }],
    ["in a JWT", { note: `eyJhbGciOiJIUzI1NiJ9.${canary}.AAAA` }],
    ["in a Secret's data", { data: { KEY: canary }, stringData: { KEY: canary } }],
    ["in a function or a URL", { call: () => canary, at: new URL(`https://u:${canary}@h/`) }],
  ])("%s", (_name, fields) => {
    const { lines, log } = capture(format)
    log.info("request", fields)
    log.child(fields).info(`Bearer ${canary}`)
    expect(lines).toHaveLength(2)
    expect(lines.join("")).not.toContain(canary)
  })
})

test("ordinary fields that only sound secret are kept", () => {
  const [line] = written((log) => log.info("made", { secretName: "a-b", token_name: "ci", subject_key: "user:x" }))
  expect(line).toMatchObject({ secretName: "a-b", token_name: "ci", subject_key: "user:x" })
})

test("huge and deep values are cut", () => {
  const deep: Record<string, unknown> = {}
  deep.self = deep
  const { lines, log } = capture("json")
  log.info("x", { deep, text: "y".repeat(1_000_000), list: Array.from({ length: 10_000 }, (_, index) => index) })
  expect(lines[0]?.length).toBeLessThan(10_000)
})

describe("a line of text", () => {
  test("is one line that begins with time and level", () => {
    const { lines, log } = capture("text")
    log.info("instance ready", { instance: "notes-user-a", seconds: 0.4, reason: "has spaces" })
    expect(lines).toEqual([
      expect.stringMatching(
        /^\d\d:\d\d:\d\d\.\d{3} INFO {2}instance ready {2}instance=notes-user-a seconds=0.4 reason="has spaces"\n$/,
      ),
    ])
  })

  test("tells an error with its causes, and where an unforeseen one was made", () => {
    const { lines, log } = capture("text")
    log.error("broke", { error: new AppError("PortInUse", { detail: "Port 1 is taken.", cause: new Error("bind") }) })
    log.error("broke", { error: new TypeError("x is not a function") })
    expect(lines[0]).toMatch(/error="PortInUse: Port 1 is taken.; caused by bind"\n$/)
    expect(lines[1]).toMatch(/error="TypeError: x is not a function" \(at .*log\.test\.ts:\d+:\d+\)?\)\n$/)
  })

  test("tells where a plugin threw, on indented lines, and of no other foreseen error", () => {
    const { lines, log } = capture("text")
    const failed = (cause?: Error) => ({ error: new AppError("PluginFailed", { detail: "It failed.", cause }) })
    const cause = new Error("no broker")
    cause.stack =
      "Error: no broker\n    at ask (/plugins/broker.mjs:7:9)\n    at run (node:internal/x:1:1)\n    at \u001b[2J\r (x)"
    log.warn("a plugin's hook failed", failed(cause))
    log.warn("a plugin's hook failed", failed())
    expect(lines[0]).toMatch(
      /caused by no broker"\n {4}at ask \(\/plugins\/broker\.mjs:7:9\)\n {4}at \\u001b\[2J\\u000d \(x\)\n$/,
    )
    expect(lines[1]?.split("\n")).toHaveLength(2)
  })

  test("cannot be forged by what it tells: no line breaks, no control characters", () => {
    const { lines, log } = capture("text")
    log.info("a\n12:00:00.000 ERROR forged", { who: "b\r\n\u001b[31mred\u2028", "\u001b[0m": 1, list: ["\u009b"] })
    expect(lines).toHaveLength(1)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    expect(lines[0]).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029]|\n./)
  })
})
