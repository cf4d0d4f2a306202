import { expect, test } from "vitest"
import { toProblem } from "../../../src/admin/validation.ts"
import { AppError } from "../../../src/errors.ts"

test("an error becomes a problem with code, request id and its facts, which cannot replace those", () => {
  const error = new AppError("CapacityExceeded", {
    detail: "All are in use.",
    data: { reason: "MaxInstances", status: 200, code: "x" },
    retryAfterSeconds: 1.2,
  })
  expect(toProblem(error, "an-id")).toEqual({
    status: 429,
    code: "CapacityExceeded",
    headers: { "content-type": "application/problem+json", "retry-after": "2" },
    body: {
      reason: "MaxInstances",
      type: "about:blank",
      title: "Too Many Requests",
      status: 429,
      code: "CapacityExceeded",
      detail: "All are in use.",
      help: expect.stringContaining("max_instances"),
      retryable: true,
      request_id: "an-id",
    },
  })
})

test("an error that is none of ours tells nothing of itself", () => {
  const { status, code, body } = toProblem(new Error("canary"), "an-id")
  expect([status, code]).toEqual([500, "Internal"])
  expect(JSON.stringify(body)).not.toContain("canary")
})
