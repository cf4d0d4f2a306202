import { expect } from "vitest"
import type { z } from "zod"
import { contracts, schemas } from "../../src/admin/contracts.ts"
import { errorsOf } from "../../src/admin/document.ts"
import { isOperation, type OperationName, operation, operations } from "../../src/admin/operations.ts"
import { errorTable } from "../../src/errors.ts"

/** Every call of the REST API. */
export const operationNames: readonly OperationName[] = Object.keys(operations).filter(isOperation)

const matches = (pattern: string, path: string): boolean => {
  const parts = pattern.split("/").map((part) => {
    if (part.startsWith("**")) return ".+"
    return part.startsWith(":") ? "[^/]+" : part.replaceAll(".", "\\.")
  })
  return new RegExp(`^/api${parts.join("/")}$`).test(path)
}

/** The call that a request makes: of several that match, the first in the table, as in the router. */
export const operationOf = (method: string, path: string): OperationName | undefined =>
  operationNames.find((name) => {
    const { method: own, path: pattern } = operation(name)
    return (own === method || (own === "GET" && method === "HEAD")) && matches(pattern, path.split("?", 1)[0] ?? "")
  })

/** Fails unless the OpenAPI document tells of such an answer: its status, its error code, its body. */
export const expectDocumented = (
  method: string,
  path: string,
  answer: { readonly status: number; readonly body: unknown },
): void => {
  const name = operationOf(method, path)
  if (name === undefined) return
  const { status, schema } = contracts[name].answer
  if (answer.status >= 400) {
    if (answer.body === undefined) return
    const { code } = Object(answer.body)
    expect(errorsOf(name) as readonly string[], `${name} answers ${code}`).toContain(code)
    expect(errorTable[code as keyof typeof errorTable].status).toBe(answer.status)
    return
  }
  expect(answer.status, name).toBe(status)
  const known: Readonly<Record<string, z.ZodType>> = schemas
  const shape = schema === undefined ? undefined : known[schema]
  if (shape === undefined || answer.body === undefined) return
  expect(shape.safeParse(answer.body).error?.issues, name).toBeUndefined()
}
