import { expect, test } from "vitest"
import { mostReportBytes, readReport, writeReport } from "../../../src/api/install-report.ts"

test("what the installer writes is what the operator reads", () => {
  const installed = { kind: "installed", cached: true, skippedScripts: ["sharp"] } as const
  expect(readReport(writeReport(installed))).toEqual(installed)
  const failed = { kind: "failed", problem: "There is no version 9.", lines: ["one", "two"] } as const
  expect(readReport(writeReport(failed))).toEqual(failed)
})

test("a report fits into a termination message, and keeps the last lines", () => {
  const lines = Array.from({ length: 50 }, (_, at) => `${at} ${"ä".repeat(1_000)}`)
  const text = writeReport({ kind: "failed", problem: "x".repeat(5_000), lines })
  expect(Buffer.byteLength(text)).toBeLessThanOrEqual(mostReportBytes)
  const report = readReport(text)
  expect(report).toMatchObject({ kind: "failed", lines: expect.arrayContaining([expect.stringMatching(/^49 /)]) })
})

test("a report controls no terminal", () => {
  const text = writeReport({ kind: "failed", problem: "\u001b[2J", lines: ["a\u202eb", "c\nd"] })
  expect(readReport(text)).toEqual({ kind: "failed", problem: "\uFFFD[2J", lines: ["a\uFFFDb", "c\uFFFDd"] })
})

test.each([
  "",
  "null",
  "[]",
  "{}",
  '"installed"',
  '{"kind":"installed"}',
  '{"kind":"installed","cached":"yes"}',
  '{"kind":"failed","problem":7}',
  '{"kind":"failed"',
  `{"kind":"failed","problem":"","lines":["${"x".repeat(10_000)}"]}`,
])("%.60j is no report", (message) => {
  expect(readReport(message)).toBeUndefined()
})

test("what a report has besides texts is left out", () => {
  const message = '{"kind":"failed","problem":"x","lines":["a",7,null,{"b":1}],"__proto__":{"kind":"installed"}}'
  expect(readReport(message)).toEqual({ kind: "failed", problem: "x", lines: ["a"] })
  expect(readReport('{"kind":"installed","cached":false,"skippedScripts":"x"}')).toEqual({
    kind: "installed",
    cached: false,
    skippedScripts: [],
  })
})
