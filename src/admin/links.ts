import { isOperation, operation, operations } from "./operations.ts"

type Link = { readonly operationId: string; readonly parameters: Readonly<Record<string, string>> }

const below = (path: string) =>
  Object.keys(operations)
    .filter(isOperation)
    .filter((name) => operation(name).path.startsWith(path))

/** What is deleted by these is not gone: a scope without values is there, and has no names. No state leads there. */
const emptiesScope = (name: string): boolean =>
  operation(name as keyof typeof operations).method === "DELETE" && name.endsWith("Values")

/** The calls that a target leads to; `name` and `etag` are runtime expressions (OpenAPI 3.1 §4.8.20). */
const fromTarget = (name: string, etag?: string): Readonly<Record<string, Link>> =>
  Object.fromEntries(
    below("/targets/:id")
      .filter((name) => !emptiesScope(name))
      .map((operationId) => {
        const version = etag !== undefined && operationId === "replaceTarget" ? { "header.If-Match": etag } : {}
        return [operationId, { operationId, parameters: { "path.id": name, ...version } }]
      }),
  )

const fromInstances: Readonly<Record<string, Link>> = Object.fromEntries(
  below("/instances/:name").map((operationId) => [
    operationId,
    { operationId, parameters: { "path.name": "$response.body#/items/0/name" } },
  ]),
)

/** What the answer of a call gives to others: ids, and the version that a replacement needs. */
export const linksOf = (name: string): Readonly<Record<string, Link>> | undefined => {
  switch (name) {
    case "createTarget":
    case "getTarget":
      return fromTarget("$response.body#/name", "$response.header.ETag")
    case "listTargets":
      return fromTarget("$response.body#/items/0/name")
    case "listInstances":
    case "listTargetInstances":
      return fromInstances
    default:
      return undefined
  }
}
