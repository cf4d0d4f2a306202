/**
 * `npm run test:audit`: known vulnerabilities of the libraries that ship. Findings are a failure. A registry that does
 * not answer is none: it is said loudly and counts as neither passed nor failed.
 */
import { spawnSync } from "node:child_process"
import { resolve } from "node:path"
import { z } from "zod"

const Report = z.object({
  vulnerabilities: z.record(
    z.string(),
    z.object({ severity: z.string(), range: z.string(), via: z.array(z.unknown()) }),
  ),
})

const args = ["audit", "--omit=dev", "--json", "--fetch-retries=1", "--fetch-timeout=20000"]
const { stdout, stderr } = spawnSync("npm", args, {
  cwd: resolve(import.meta.dirname, ".."),
  encoding: "utf8",
  timeout: 60_000,
})

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const { success, data } = Report.safeParse(parseJson(stdout))
if (!success) {
  console.warn("!!! AUDIT SKIPPED: the registry gave no answer about vulnerabilities !!!")
  console.warn((stdout + stderr).trim().slice(0, 1_000))
  console.log("0 passed, 0 failed")
} else {
  const found = Object.entries(data.vulnerabilities)
  for (const [name, { severity, range }] of found) console.log(`${name} ${range}: ${severity}`)
  console.log(found.length === 0 ? "1 passed, 0 failed" : "0 passed, 1 failed")
  process.exitCode = found.length === 0 ? 0 : 1
}
