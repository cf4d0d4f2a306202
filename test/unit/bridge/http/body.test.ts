import { EventEmitter } from "node:events"
import type { IncomingMessage } from "node:http"
import { expect, test } from "vitest"
import { readRequest } from "../../../../src/bridge/http/body.ts"
import { createBudget } from "../../../../src/intake/bodies.ts"

/** Reads a body that comes in these pieces; resolves with its length, or with the error's code. */
const read = (pieces: readonly number[], budget = createBudget(2 ** 20), headers = {}) =>
  new Promise<number | string>((resolve) => {
    const request = Object.assign(new EventEmitter(), { headers, complete: true, resume: () => {} })
    readRequest(
      request as unknown as IncomingMessage,
      budget,
      "one",
      (body) => void resolve(body.length),
      ({ code }) => resolve(code),
    )
    for (const length of pieces) request.emit("data", Buffer.alloc(length))
    request.emit("end")
    request.emit("close")
  })

test("a small body is read even if other bodies take all of the budget, a larger one is not", async () => {
  const budget = createBudget(2 ** 20)
  for (let owner = 0, bytes = 2 ** 18; bytes >= 1; ) if (!budget.open().take(`${++owner}`, bytes)) bytes /= 2
  expect(budget.limit - budget.held).toBeLessThan(10)
  expect(await read([4_096], budget)).toBe(4_096)
  expect(await read([200, 200, 200], budget)).toBe(600)
  expect(await read([4_097], budget)).toBe("BodiesTooLarge")
  expect(await read([4_096, 4_096, 4_096], budget)).toBe("BodiesTooLarge")
})

test("what a body took is given back, read or refused", async () => {
  const budget = createBudget(2 ** 20)
  expect(await read([100_000, 100_000], budget)).toBe(200_000)
  expect(budget.held).toBe(0)
  expect(await read([200_000, 200_000], budget)).toBe("BodiesTooLarge")
  expect(budget.held).toBe(0)
  expect(await read([], budget, { "content-length": "16777217" })).toBe("BodyTooLarge")
})
