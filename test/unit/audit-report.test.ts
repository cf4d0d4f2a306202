import { expect, test } from "vitest"
import { findingsIn } from "../support/audit-report.ts"

const entry = (name: string, via: readonly unknown[]) => ({
  [name]: { severity: "high", range: "<2", via, nodes: [`node_modules/${name}`] },
})
const report = (...entries: readonly object[]) => JSON.stringify({ vulnerabilities: Object.assign({}, ...entries) })
const shipped = new Set(["node_modules/in", "node_modules/leaning"])

test("a vulnerable package counts where it ships, and where it only helps to build it does not", () => {
  const both = report(entry("in", [{ title: "bad" }]), entry("out", [{ title: "bad" }]))
  expect(findingsIn(both, shipped)).toEqual(["in <2: high"])
})

test("one that leans on a vulnerable package which does not ship has nothing of it in the program", () => {
  expect(findingsIn(report(entry("leaning", ["out"]), entry("out", [{ title: "bad" }])), shipped)).toEqual([])
})

test("an answer that is no report is told from a report without findings", () => {
  expect(findingsIn('{"message":"405 Method Not Allowed"}', shipped)).toBeUndefined()
  expect(findingsIn("not JSON", shipped)).toBeUndefined()
  expect(findingsIn(report(), shipped)).toEqual([])
})
