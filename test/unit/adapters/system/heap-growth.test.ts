import { execFile } from "node:child_process"
import { join } from "node:path"
import { promisify } from "node:util"
import { expect, test } from "vitest"
import { growthFactor } from "../../../../src/adapters/system/heap-growth.ts"

const mebibyte = 2 ** 20

test("the space may double until its halves have 8 MiB", () => {
  expect([0, 1, 2, 4, 8].map((size) => growthFactor(size * mebibyte))).toEqual([2, 2, 2, 2, 2])
  expect([16, 32, 64].map((size) => growthFactor(size * mebibyte))).toEqual([1, 1, 1])
})

/** A program under load: many objects live for a while. Prints the largest size of its young space in MiB. */
const program = (bound: boolean) => `
  import { getHeapSpaceStatistics } from "node:v8"
  import { boundHeapGrowth } from ${JSON.stringify(join(import.meta.dirname, "../../../../src/adapters/system/heap-growth.ts"))}
  if (${bound}) boundHeapGrowth()
  const young = () => getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space").space_size
  const kept = []
  let most = 0
  for (let turn = 0; turn < 400; turn++) {
    for (let at = 0; at < 50_000; at++) kept[at % 10_000] = { at, list: [at], inner: { at } }
    most = Math.max(most, young())
    await new Promise(setImmediate)
  }
  console.log(most / ${mebibyte})
`

test("a process under load keeps it that small", async () => {
  const young = async (bound: boolean) => {
    const args = ["--input-type=module", "--eval", program(bound)]
    return Number((await promisify(execFile)(process.execPath, args)).stdout)
  }
  // twice 8 MiB, and what it grows by before the collection is heard of
  expect(await young(true)).toBeLessThan(32)
  expect(await young(false)).toBeGreaterThan(40)
})
