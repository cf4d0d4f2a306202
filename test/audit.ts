/**
 * `npm run test:audit`: known vulnerabilities of the libraries that ship, which are those in the bundle. Findings are a
 * failure. A registry that does not answer is none: it is said loudly and counts as neither passed nor failed.
 */
import { spawnSync } from "node:child_process"
import { resolve } from "node:path"
import { programParts } from "../build.config.ts"
import { findingsIn } from "./support/audit-report.ts"

const folders = new Set((await programParts()).map(({ folder }) => folder))
const args = ["audit", "--json", "--fetch-retries=1", "--fetch-timeout=20000"]
const { stdout, stderr } = spawnSync("npm", args, {
  cwd: resolve(import.meta.dirname, ".."),
  encoding: "utf8",
  timeout: 60_000,
})

const findings = findingsIn(stdout, folders)
if (findings === undefined) {
  console.warn("!!! AUDIT SKIPPED: the registry gave no answer about vulnerabilities !!!")
  console.warn((stdout + stderr).trim().slice(0, 1_000))
  console.log("0 passed, 0 failed")
} else {
  for (const finding of findings) console.log(finding)
  console.log(findings.length === 0 ? "1 passed, 0 failed" : "0 passed, 1 failed")
  process.exitCode = findings.length === 0 ? 0 : 1
}
