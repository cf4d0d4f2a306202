import { execFile } from "node:child_process"
import { join } from "node:path"
import { promisify } from "node:util"
import { expect, test } from "vitest"

const module = join(import.meta.dirname, "../../src/roles/memory.ts")

/**
 * A process that makes 150 MB of garbage that has grown old, and then rests. Prints its resident memory, in MiB, with the
 * garbage and after 18 s.
 */
const program = `
  import { keepMemorySmall } from ${JSON.stringify(module)}
  keepMemorySmall({ ready: Promise.resolve() })
  await new Promise((done) => setTimeout(done, 100))
  let kept = []
  for (let turn = 0; turn < 150; turn++) {
    for (let at = 0; at < 10_000; at++) kept.push({ turn, list: [at], text: String(at) })
    await new Promise(setImmediate)
  }
  const before = process.memoryUsage().rss
  kept = undefined
  await new Promise((done) => setTimeout(done, 18_000))
  const after = process.memoryUsage().rss
  console.log(JSON.stringify([before, after].map((bytes) => bytes / 2 ** 20)))
`

test("a process that rests gives back what it no longer needs", async () => {
  const args = ["--input-type=module", "--eval", program]
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 28_000 })
  const [before, after] = JSON.parse(stdout)
  expect(before).toBeGreaterThan(180)
  expect(after).toBeLessThan(before - 100)
})
