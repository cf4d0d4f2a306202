import { expect, test } from "vitest"
import { collectGarbage, createLitterCount } from "../../../../src/adapters/system/garbage.ts"

test("what nobody holds any more is collected at once", () => {
  let left: object | undefined = { many: new Array(1_000).fill("bytes") }
  const seen = new WeakRef(left)
  left = undefined
  return new Promise<void>((done) => {
    // a WeakRef holds its object until the task that made it has ended
    setTimeout(() => {
      collectGarbage()
      expect(seen.deref()).toBeUndefined()
      done()
    })
  })
})

test("young garbage is collected once after each 16 MiB of litter, in a later turn", async () => {
  let times = 0
  const count = createLitterCount(() => times++)
  const litter = (mebibytes: number) => {
    for (let piece = 0; piece < mebibytes * 16; piece++) count(65_536)
  }
  litter(16)
  await new Promise(setImmediate)
  expect(times).toBe(0)
  litter(40)
  expect(times).toBe(0)
  await new Promise(setImmediate)
  expect(times).toBe(1)
  litter(17)
  await new Promise(setImmediate)
  expect(times).toBe(2)
})

test("buffers that nobody holds are freed by it", async () => {
  const count = createLitterCount()
  const before = process.memoryUsage().arrayBuffers
  for (let piece = 0; piece < 300; piece++) count(Buffer.allocUnsafeSlow(65_536).length)
  await new Promise(setImmediate)
  await expect.poll(() => process.memoryUsage().arrayBuffers - before).toBeLessThan(4 * 2 ** 20)
})
