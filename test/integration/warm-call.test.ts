import { execFile } from "node:child_process"
import { resolve } from "node:path"
import { promisify } from "node:util"
import { expect, test } from "vitest"

const root = resolve(import.meta.dirname, "../..")
const run = promisify(execFile)

/** Most files of src through which a warm call goes; see ADR 25. */
const mostFiles = 45

test("a warm call goes through few files: a reader can keep them in mind", { timeout: 30_000 }, async () => {
  const { stdout } = await run(process.execPath, ["bench/warm-call.ts"], { cwd: root, timeout: 25_000 })
  const counts = [...stdout.matchAll(/^a warm call of (.+): (\d+) files,/gm)].map(([, what, files]) => [
    what,
    Number(files),
  ])
  expect(counts.map(([what]) => what)).toEqual(["the modern era", "a session"])
  for (const [what, files] of counts) {
    expect(files, String(what)).toBeGreaterThan(20)
    expect(files, String(what)).toBeLessThanOrEqual(mostFiles)
  }
})
