import { expect, test } from "vitest"
import { collectGarbage } from "../../../../src/adapters/system/garbage.ts"

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
