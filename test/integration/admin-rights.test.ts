import { beforeEach, describe, expect, test } from "vitest"
import { type OperationName, operation } from "../../src/admin/operations.ts"
import { operationNames } from "../support/admin-document.ts"
import { names, place, register, send, specified, token, useAdmin, userKey } from "../support/admin-stage.ts"

useAdmin()

/** Who calls: owner and neighbour may use the target, the owner has the instance; the stranger may not use the target. */
const callers = ["admin", "owner", "neighbour", "stranger", "nobody", "mcpOnly"] as const
type Caller = (typeof callers)[number]

const tokens: Readonly<Record<Caller, () => Promise<string>>> = {
  admin: () => token("root", ["admin"]),
  owner: () => token("alice"),
  neighbour: () => token("bob"),
  stranger: () => token("carol"),
  nobody: async () => "",
  mcpOnly: () => token("root", ["admin"], [], ["mcp"]),
}

const merge = { "content-type": "application/merge-patch+json" }
const newTarget = { ...specified, name: "another" }
const values = { TOKEN: "x" }

/** What each call is sent with, besides its path. */
const requests: Partial<Record<OperationName, { body: unknown; headers?: Readonly<Record<string, string>> }>> = {
  createTarget: { body: newTarget },
  replaceTarget: { body: { ...specified, name: "github" }, headers: { "if-match": "*" } },
  patchTarget: { body: { paused: true }, headers: merge },
  restartInstances: { body: {} },
  testTarget: { body: {} },
  setOwnValues: { body: values },
  setDefaultValues: { body: values },
  setValues: { body: values },
  patchOwnValues: { body: values, headers: merge },
  patchDefaultValues: { body: values, headers: merge },
  patchValues: { body: values, headers: merge },
}

type Row = readonly [admin: number, owner: number, neighbour: number, stranger: number]
const forAdmins = (status: number): Row => [status, 403, 403, 403]
const forUsers = (status: number): Row => [status, status, status, 404]
const forOwner = (status: number): Row => [status, status, 404, 404]
const forAll = (status: number): Row => [status, status, status, status]

/** The answer to each call by each caller. A call without an identity, or with a token for MCP only, gets 401 from all of them. */
const rights: Readonly<Record<OperationName, Row>> = {
  getDocument: forAll(200),
  createTarget: forAdmins(201),
  listTargets: forAll(200),
  getTarget: forUsers(200),
  replaceTarget: forAdmins(200),
  patchTarget: forAdmins(200),
  deleteTarget: forAdmins(204),
  restartInstances: forAdmins(200),
  // the stage has no servers: 503 is what comes after the door
  testTarget: forUsers(503),
  listTargetInstances: forUsers(200),
  listInstances: forAll(200),
  getInstance: forOwner(200),
  deleteInstance: forOwner(204),
  instanceLogs: forOwner(200),
  getOwnValues: forUsers(200),
  setOwnValues: forUsers(200),
  patchOwnValues: forUsers(200),
  deleteOwnValues: forUsers(200),
  getDefaultValues: forAdmins(200),
  setDefaultValues: forAdmins(200),
  patchDefaultValues: forAdmins(200),
  deleteDefaultValues: forAdmins(200),
  getValues: forAdmins(200),
  setValues: forAdmins(200),
  patchValues: forAdmins(200),
  deleteValues: forAdmins(200),
  whoami: forAll(200),
}

const pathOf = (name: OperationName): string => {
  const filled = operation(name)
    .path.replace(":id", "github")
    .replace(":name", "github-user-a")
    .replace("**:who", "dev/alice")
    .replace(":scope", name.includes("Default") ? "default" : "user")
  return `/api${filled}`
}

beforeEach(async () => {
  await register("github", {
    access: { users: ["dev/alice", "dev/bob", "dev/root"] },
    credentials: [{ name: "TOKEN" }],
  })
  await place("github", userKey("alice"), "github-user-a")
})

describe.each(operationNames)("%s", (name) => {
  test.each(callers.map((caller, index) => [caller, rights[name][index] ?? 401] as const))(
    "answers %s with %i",
    async (caller, status) => {
      const as = await tokens[caller]()
      const { method } = operation(name)
      const answer = await send(method, pathOf(name), { ...requests[name], as })
      expect(answer.status, answer.text).toBe(status)
    },
  )
})

test("lists hold for each caller what is theirs to see", async () => {
  await register("open")
  const seen = async (caller: Caller) => {
    const as = await tokens[caller]()
    const lists = ["/api/targets", "/api/instances"].map(async (path) => names(await send("GET", path, { as })))
    return await Promise.all(lists)
  }
  expect(await seen("admin")).toEqual([["github", "open"], ["github-user-a"]])
  expect(await seen("owner")).toEqual([["github", "open"], ["github-user-a"]])
  expect(await seen("neighbour")).toEqual([["github", "open"], []])
  expect(await seen("stranger")).toEqual([["open"], []])
})

test("lists of more than a thousand lead from page to page until all were seen once", async () => {
  const count = 1_050
  const name = (index: number) => `t${String(index).padStart(4, "0")}`
  for (let index = 0; index < count; index++) await register(name(index))
  for (let index = 0; index < count; index++) await place(name(index), "shared", `${name(index)}-shared`)
  for (const [path, suffix] of [
    ["/api/targets", ""],
    ["/api/instances", "-shared"],
  ] as const) {
    const found: string[] = []
    let pages = 0
    for (let next: string | undefined = ""; next !== undefined; pages++) {
      const query = next === "" ? "?limit=400" : `?limit=400&continue=${next}`
      const page = await send("GET", `${path}${query}`)
      found.push(...names(page).filter((each) => each.startsWith("t")))
      next = page.body.continue
    }
    expect(pages).toBe(3)
    expect(found).toEqual(Array.from({ length: count }, (_, index) => `${name(index)}${suffix}`))
  }
})
