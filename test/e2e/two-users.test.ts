import { afterEach, describe, expect, test } from "vitest"
import { toolText } from "../support/modern.ts"
import { eventually, processesRunning } from "../support/processes.ts"
import { initialize, post, type Reflow, repositoryFile, startReflow, target } from "../support/reflow.ts"

const server = repositoryFile("test/fixtures/servers/dual.mjs")
let reflow: Reflow | undefined

afterEach(async () => {
  await reflow?.stop()
  reflow = undefined
})

/** The servers of one run: each has an argument of its own. */
const targets = (mark: string) =>
  target("private", ["node", server, `${mark}-private`], { credentials: [{ name: "API_TOKEN" }] }) +
  target("common", ["node", server, `${mark}-common`], { isolationBoundary: "shared", statefulness: "stateless" })

describe.runIf(process.platform === "linux")("two users on a laptop", () => {
  test("each has a process of their own with only their own credential; a shared target has one process", async () => {
    const mark = `users-${process.pid}`
    reflow = await startReflow({ targets: targets(mark) })
    const [alice, bob] = await Promise.all([reflow.token("alice"), reflow.token("bob")])
    for (const [token, value] of [
      [alice, "canary-of-alice"],
      [bob, "canary-of-bob"],
    ]) {
      const put = await reflow.api("PUT", "/api/targets/private/env/me", { API_TOKEN: value }, token)
      expect(put.status, JSON.stringify(put.body)).toBeLessThan(300)
    }
    await Promise.all(
      [alice, bob].flatMap((token) =>
        ["private", "common"].map((name) => toolText(`${reflow?.url}/mcp/${name}`, token, "pid")),
      ),
    )

    const own = processesRunning(`${mark}-private`).filter((each) => each.command[0]?.endsWith("node"))
    expect(own.map((each) => each.environment.get("API_TOKEN")).sort()).toEqual(["canary-of-alice", "canary-of-bob"])
    for (const each of own) {
      const other = each.environment.get("API_TOKEN") === "canary-of-alice" ? "canary-of-bob" : "canary-of-alice"
      expect([...each.environment.values()].join("\n")).not.toContain(other)
    }
    const common = processesRunning(`${mark}-common`).filter((each) => each.command[0]?.endsWith("node"))
    expect(common).toHaveLength(1)
    expect([...(common[0]?.environment.values() ?? [])].join("\n")).not.toContain("canary-of")
    expect(reflow.output()).not.toContain("canary-of")
    for (const each of [...own, ...common]) expect(each.command.join(" ")).not.toContain("canary-of")
  })

  test("Ctrl-C ends the program and every server", async () => {
    const mark = `ctrl-c-${process.pid}`
    reflow = await startReflow({ targets: targets(mark) })
    const alice = await reflow.token("alice")
    await toolText(`${reflow.url}/mcp/private`, alice, "pid")
    expect(processesRunning(`${mark}-private`).length).toBeGreaterThan(0)
    const ended = new Promise<number | null>((done) => reflow?.process.once("exit", done))
    reflow.process.kill("SIGINT")
    expect(await ended).toBe(0)
    expect(processesRunning(`${mark}-private`)).toEqual([])
  })

  test("after kill -9 of the gateway no server and no child of a server lives longer than 5 s", async () => {
    const mark = `kill-9-${process.pid}`
    const child = `${mark}-grandchild`
    const script = `"$0" -e "setInterval(() => {}, 1000)" ${child} & exec "$0" ${server} ${mark}-server`
    reflow = await startReflow({ targets: target("family", ["sh", "-c", script, "node"]) })
    await toolText(`${reflow.url}/mcp/family`, await reflow.token("alice"), "pid")
    expect(processesRunning(child)).toHaveLength(1)
    expect(processesRunning(`${mark}-server`).length).toBeGreaterThan(0)
    reflow.process.kill("SIGKILL")
    await eventually(
      () => processesRunning(child).length + processesRunning(`${mark}-server`).length === 0,
      5_000,
      "all ended",
    )
  })
})

test("the flow of the specification: register, call, look, restart, call again", async () => {
  reflow = await startReflow({ targets: "" })
  const alice = await reflow.token("alice")
  const created = await reflow.api("POST", "/api/targets", {
    name: "github-k8s",
    transport_type: "kubernetes",
    image: "ghcr.io/org/mcp-github:latest",
    port: 8080,
    statefulness: "stateful",
    isolation_boundary: "per_user",
    command: ["node", server],
    credentials: [{ name: "GITHUB_TOKEN" }],
  })
  expect(created.status, JSON.stringify(created.body)).toBe(201)
  await reflow.api("PUT", "/api/targets/github-k8s/env/default", { GITHUB_TOKEN: "canary-default" })

  const before = await toolText(`${reflow.url}/mcp/github-k8s`, alice, "pid")
  const look = () => reflow?.api("GET", "/api/instances", undefined, alice)
  // a server may have answered by its own address before its probe has told that it is ready
  await expect.poll(async () => (await look())?.body.items[0]?.phase).toBe("Ready")
  const seen = await reflow.api("GET", "/api/instances", undefined, alice)
  expect(seen.status).toBe(200)
  expect(seen.body.items).toHaveLength(1)
  const [instance] = seen.body.items
  expect(instance).toMatchObject({ target: "github-k8s", phase: "Ready" })
  for (const part of ["pod", "service", "secret"]) expect(instance[part], part).toMatch(/^github-k8s-user-/)
  expect(JSON.stringify(seen.body)).not.toContain("canary-default")

  const refused = await reflow.api("POST", "/api/targets/github-k8s/restart-instances", {}, alice)
  expect(refused.status).toBe(403)
  const restarted = await reflow.api("POST", "/api/targets/github-k8s/restart-instances")
  expect(restarted).toMatchObject({ status: 200, body: { restarted: 1 } })
  const after = await toolText(`${reflow.url}/mcp/github-k8s`, alice, "pid")
  expect(after).not.toBe(before)
  const again = await reflow.api("GET", "/api/instances", undefined, alice)
  expect(again.body.items.map((each: { pod: string }) => each.pod)).not.toContain(instance.pod)
})

test("a target with only an image says why it cannot run here", async () => {
  reflow = await startReflow({ targets: "" })
  const alice = await reflow.token("alice")
  const body = { name: "only-image", transport_type: "kubernetes", image: "ghcr.io/org/mcp-github:latest", port: 8080 }
  expect((await reflow.api("POST", "/api/targets", body)).status).toBe(201)
  const response = await post(`${reflow.url}/mcp/only-image`, alice, initialize())
  const answer = (await response.json()) as {
    id: unknown
    error: { message: string; data: { code: string; reason: string } }
  }
  expect(response.status).toBe(200)
  expect(answer.id).toBe(1)
  expect(answer.error.data).toMatchObject({ code: "InstanceFailed", reason: "ErrImageNeverPull" })
  expect(JSON.stringify(answer.error)).toMatch(/command/)
})
