/** What plugins say to the user and to the log, through the whole program in one process. */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { callTool } from "../support/modern.ts"
import { type Reflow, repositoryFile, runReflow, startReflow, target } from "../support/reflow.ts"

const plugin = `
import { definePlugin, denied, noCredential, requireClaim } from "reflow-gateway/plugin"
export default definePlugin({
  api: 1,
  name: "broker",
  setup: () => ({
    subjectKeys: {
      seat: ({ identity }) => {
        if (!identity.groups.includes("eng")) throw denied("Ask sales for a seat: https://sales.example")
        return identity.subject
      },
      broken: () => { throw new Error("canary-of-the-strategy") },
    },
    secrets: {
      "broker": ({ sharer }) => {
        if (sharer.identity === undefined) return { value: "nobody's: " + sharer.kind }
        if (!sharer.identity.groups.includes("eng")) throw noCredential("Connect your account at https://connect.example")
        return { value: requireClaim(sharer.identity, "region") + "/" + sharer.identity.email + "/" + typeof sharer.identity.claims.level }
      },
      "broken": async () => { throw new Error("canary-of-the-resolver") },
    },
  }),
})
`

const server = ["node", repositoryFile("test/fixtures/servers/dual.mjs")]
const brokered = { secrets: [{ name: "BROKERED", from: "broker:x" }] }

const eng = ["--group", "eng"]

let folder: string
let reflow: Reflow

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "reflow-words-"))
  const path = join(folder, "broker.mjs")
  await writeFile(path, plugin)
  reflow = await startReflow({
    targets: [
      target("own", server, brokered),
      target("everybody", server, { ...brokered, isolationBoundary: "shared" }),
      target("grouped", server, { ...brokered, isolationBoundary: "per_group" }),
      target("seated", server, { subjectKey: { strategy: "broker/seat" }, ...brokered }),
      target("unkeyed", server, { subjectKey: { strategy: "broker/broken" } }),
      target("unresolved", server, { secrets: [{ name: "BROKERED", from: "broken:x" }] }),
    ].join(""),
    set: { plugins: JSON.stringify([{ path }]) },
  })
})
afterAll(async () => {
  await reflow?.stop()
  await rm(folder, { recursive: true, force: true })
})

const tokenOf = async (subject: string, ...flags: readonly string[]): Promise<string> => {
  const state = ["--set", `dev.state_dir=${join(reflow.folder, "state")}`]
  const { stdout, stderr } = await runReflow(["token", "--subject", subject, ...flags, ...state])
  expect(stderr).toBe("")
  return stdout.trim()
}

const call = async (name: string, token: string, tool = "pid", args: Readonly<Record<string, unknown>> = {}) => {
  const response = await callTool(`${reflow.url}/mcp/${name}`, token, tool, args)
  return { response, text: await response.text() }
}

const failures = () =>
  reflow
    .output()
    .split("\n")
    .filter((line) => line.includes("a plugin's hook failed"))
    .map((line) => JSON.parse(line))

describe("a resolver", () => {
  test("knows the groups and claims of who alone shares an instance", async () => {
    const token = await tokenOf(
      "alice",
      ...eng,
      "--claim",
      "region=eu",
      "--email",
      "alice@corp.example",
      "--claim",
      "level:=3",
    )
    expect((await call("own", token, "env", { names: ["BROKERED"] })).text).toContain("eu/alice@corp.example/number")
  })
  test("knows nobody's where several share one", async () => {
    const token = await tokenOf("alice", ...eng, "--claim", "region=eu")
    for (const [name, kind] of [
      ["everybody", "shared"],
      ["grouped", "group"],
      ["seated", "key"],
    ] as const)
      expect((await call(name, token, "env", { names: ["BROKERED"] })).text).toContain(`nobody's: ${kind}`)
  })
  test("says that the user has no credential, and what to do about it", async () => {
    const { text } = await call("own", await tokenOf("bob"))
    expect(text).toContain(
      "own needs the credential BROKERED. BROKERED: Connect your account at https://connect.example",
    )
    expect(text).toContain("CredentialMissing")
    expect(failures().filter(({ target: name }) => name === "own")).toEqual([])
  })
})

test("a strategy denies with a reason that the user reads, there and in whoami", async () => {
  const token = await tokenOf("bob")
  const reason = "Ask sales for a seat: https://sales.example"
  expect((await call("seated", token)).text).toContain(reason)
  const whoami = await fetch(`${reflow.url}/api/whoami`, { headers: { authorization: `Bearer ${token}` } })
  expect(await whoami.json()).toMatchObject({
    targets: expect.arrayContaining([{ name: "seated", denied: reason }]),
  })
})

test.each([
  ["strategy", "unkeyed", "subjectKeys.broken"],
  ["resolver", "unresolved", "secrets.broken"],
])(
  "the failure of a %s is logged with its stack, target and request id, and the user reads none of it",
  async (kind, name, hook) => {
    const { response, text } = await call(name, await tokenOf("alice"))
    expect(text).not.toContain("canary")
    const own = failures().filter((line) => line.request_id === response.headers.get("x-request-id"))
    expect(own).toMatchObject([
      {
        plugin: "broker",
        hook,
        target: name,
        error: { causes: [{ message: `canary-of-the-${kind}` }], stack: expect.stringContaining("broker.mjs") },
      },
    ])
  },
)

test("a trial by the REST API is found in the log by its request id, too", async () => {
  const headers = { authorization: `Bearer ${await tokenOf("carol")}` }
  const response = await fetch(`${reflow.url}/api/targets/unresolved/test`, { method: "POST", headers })
  const ids = failures().map(({ request_id }) => request_id)
  expect(ids).toContain(response.headers.get("x-request-id"))
})
