/**
 * Everything through both doors of a real cluster: what the REST API writes, the API server has when it answers; what
 * kubectl writes, the REST API shows within a second. And who wrote a field last is not overruled without a word.
 *
 * The servers' image is nowhere, and no operator runs: only the objects count here.
 */
import { setTimeout as sleep } from "node:timers/promises"
import { beforeAll, beforeEach, describe, expect, test } from "vitest"
import { mcpTargetKind } from "../../src/api/kinds/mcp-target.ts"
import { scopeSecretName } from "../../src/api/names.ts"
import { eventually } from "../support/processes.ts"
import { kubectl, kubectlJson, openCluster } from "./support/cluster.ts"
import { type Installation, makeInstallation, readBootstrapToken, startRole } from "./support/role.ts"

const image = "registry.invalid/nothing:1"
/** The caller of the REST API: the subject of the bootstrap token, which is a static one. */
const me = { issuer: "static", name: "bootstrap-admin" }

let place: Installation
let namespace = ""
let url = ""
let token = ""

beforeAll(async () => {
  place = await makeInstallation("doors")
  namespace = place.instances
  const kubeconfig = await place.kubeconfig("gateway")
  const gateway = startRole("gateway", { kubeconfig, namespace, until: "file" })
  url = String((await gateway.line("serving")).url)
  token = await readBootstrapToken(place)
})

type Sent = { readonly body?: unknown; readonly headers?: Readonly<Record<string, string>> }

/** A request to the REST API as the administrator. */
const send = async (method: string, path: string, { body, headers }: Sent = {}) => {
  const response = await fetch(`${url}/api${path}`, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      "content-type": method === "PATCH" ? "application/merge-patch+json" : "application/json",
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  // biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of any shape
  const parsed: any = text === "" ? undefined : JSON.parse(text)
  return { status: response.status, body: parsed, etag: response.headers.get("etag") ?? "" }
}

/** As {@link send}, for what must work. */
const rest = async (method: string, path: string, sent?: Sent) => {
  const answer = await send(method, path, sent)
  expect(answer.status, `${method} ${path}: ${JSON.stringify(answer.body)}`).toBeLessThan(300)
  return answer
}

type Fields = Readonly<Record<string, unknown>>
type Found = { readonly metadata: Fields; readonly spec: Fields; readonly data?: Readonly<Record<string, string>> }

/** What one kubectl sees now: no second look. */
const seen = async (kind: string, name: string): Promise<Found | undefined> => {
  const found = (await kubectlJson(["get", kind, "-n", namespace, "--field-selector", `metadata.name=${name}`])) as {
    readonly items: readonly Found[]
  }
  return found.items[0]
}

const made = (kind: string, name: string, spec: Fields) => ({
  ...{ apiVersion: "mcp.reflow.io/v1alpha1", kind, metadata: { name, namespace } },
  spec: { image, port: 8080, ...spec },
})
const apply = (object: unknown, ...how: readonly string[]): Promise<string> =>
  kubectl(["apply", "-f", "-", ...how], { input: JSON.stringify(object) })

/** Resolves when the REST API shows it; fails after a second from now. */
const isShown = (what: string, look: () => Promise<boolean>): Promise<void> => eventually(look, 1_000, what)
const listed = async (path: string): Promise<readonly string[]> =>
  (await rest("GET", path)).body.items.map(({ name }: { readonly name: string }) => name)

/** Instances as a gateway makes them, of two users, composed with the default values. */
const makeInstances = async (target: string): Promise<readonly [string, string]> => {
  const names = [`${target}-a`, `${target}-b`] as const
  for (const name of names) {
    const instance = made("MCPInstance", name, { targetName: target, subjectKey: `user:${name}` })
    const annotations = { "mcp.reflow.io/credential-scopes": scopeSecretName(target, "default") }
    await apply({ ...instance, metadata: { ...instance.metadata, annotations } })
  }
  return names
}

describe("what the REST API has answered, one look of kubectl finds:", () => {
  test("a target that was made, replaced, patched and removed", async () => {
    const body = { name: "made", image, port: 8080, isolation_boundary: "per_user", idle_ttl: "10m" }
    const { etag } = await rest("POST", "/targets", { body })
    expect(await seen("mcpt", "made")).toMatchObject({
      metadata: { generation: 1 },
      spec: { image, port: 8080, isolationBoundary: "per_user", idleTTL: "10m" },
    })

    const next = { name: "made", image, port: 9090, isolation_boundary: "per_user", max_instances: 3 }
    await rest("PUT", "/targets/made", { body: next, headers: { "if-match": etag } })
    const replaced = await seen("mcpt", "made")
    expect(replaced).toMatchObject({ metadata: { generation: 2 }, spec: { port: 9090, maxInstances: 3 } })
    expect(replaced?.spec).not.toHaveProperty("idleTTL")

    await rest("PATCH", "/targets/made", { body: { paused: true, max_instances: null } })
    const patched = await seen("mcpt", "made")
    expect(patched).toMatchObject({ metadata: { generation: 3 }, spec: { port: 9090, paused: true } })
    expect(patched?.spec).not.toHaveProperty("maxInstances")

    await rest("DELETE", "/targets/made")
    expect(await seen("mcpt", "made")).toBeUndefined()
  })

  test("values of a scope that were set, replaced and removed, and each time the restart of who had them", async () => {
    await rest("POST", "/targets", { body: { name: "values", image, port: 8080, isolation_boundary: "per_user" } })
    const [name, other] = await makeInstances("values")
    const unconcerned = made("MCPInstance", "values-c", { targetName: "values", subjectKey: "user:c" })
    await apply(unconcerned)
    const secret = scopeSecretName("values", "default")
    const restarts = new Set<unknown>()
    for (const [method, body, data] of [
      ["PUT", { FIRST: "1", SECOND: "2" }, { FIRST: btoa("1"), SECOND: btoa("2") }],
      ["PUT", { SECOND: "3" }, { SECOND: btoa("3") }],
      ["DELETE", undefined, undefined],
    ] as const) {
      const answer = await rest(method, "/targets/values/env/default", { body })
      expect(answer.body.restarting).toEqual([name, other])
      expect((await seen("secret", secret))?.data).toEqual(data)
      const restart = (await seen("mcpi", name))?.spec.restartTime
      expect(restart).toEqual(expect.any(String))
      restarts.add(restart)
      expect((await seen("mcpi", "values-c"))?.spec).not.toHaveProperty("restartTime")
    }
    expect(restarts.size).toBe(3)
  })

  test("the user's own values", async () => {
    const target = { name: "own", image, port: 8080, isolation_boundary: "per_user", credentials: [{ name: "TOKEN" }] }
    await rest("POST", "/targets", { body: target })
    const secret = scopeSecretName("own", "user", me)
    await rest("PUT", "/targets/own/env/me", { body: { TOKEN: "mine" } })
    expect((await seen("secret", secret))?.data).toEqual({ TOKEN: btoa("mine") })
    await rest("DELETE", "/targets/own/env/me")
    expect(await seen("secret", secret)).toBeUndefined()
  })

  test("a restart with and without a drain, and the end of one instance", async () => {
    await rest("POST", "/targets", { body: { name: "restarts", image, port: 8080, isolation_boundary: "per_user" } })
    const [first, second] = await makeInstances("restarts")
    await rest("POST", "/targets/restarts/restart-instances", { body: { drain: true } })
    for (const name of [first, second])
      expect((await seen("mcpi", name))?.spec).toMatchObject({ restartTime: expect.any(String) })

    await rest("DELETE", `/instances/${first}`)
    expect(await seen("mcpi", first)).toBeUndefined()
    expect(await seen("mcpi", second)).toBeDefined()

    await rest("POST", "/targets/restarts/restart-instances")
    expect(await seen("mcpi", second)).toBeUndefined()
  })
})

describe("what kubectl has written, the REST API shows within a second:", () => {
  test("a target that was applied, changed and deleted", async () => {
    await apply(made("MCPTarget", "applied", { isolationBoundary: "per_user", idleTTL: "10m" }))
    await isShown("the target by its name", async () => (await send("GET", "/targets/applied")).status === 200)
    const { body, etag } = await rest("GET", "/targets/applied")
    expect(body).toMatchObject({ name: "applied", image, isolation_boundary: "per_user", idle_ttl: "10m" })
    expect(etag).toBe('"1"')
    expect(await listed("/targets")).toContain("applied")

    await apply(made("MCPTarget", "applied", { isolationBoundary: "per_user", maxInstances: 5 }))
    await isShown("the change", async () => (await rest("GET", "/targets/applied")).body.max_instances === 5)
    const changed = await rest("GET", "/targets/applied")
    expect(changed.etag).toBe('"2"')
    expect(changed.body).not.toHaveProperty("idle_ttl")

    await kubectl(["delete", "mcpt", "applied", "-n", namespace])
    await isShown("that it is gone", async () => (await send("GET", "/targets/applied")).status === 404)
    expect(await listed("/targets")).not.toContain("applied")
  })

  test("an instance that was applied and deleted", async () => {
    await apply(made("MCPTarget", "hand", {}))
    await isShown("its target", async () => (await send("GET", "/targets/hand")).status === 200)
    await apply(made("MCPInstance", "hand-made", { targetName: "hand", subjectKey: "shared" }))
    for (const path of ["/instances", "/targets/hand/instances"])
      await isShown(path, async () => (await listed(path)).includes("hand-made"))
    expect((await rest("GET", "/instances/hand-made")).body).toMatchObject({ target: "hand", subject_key: "shared" })

    await kubectl(["delete", "mcpi", "hand-made", "-n", namespace])
    for (const path of ["/instances", "/targets/hand/instances"])
      await isShown(path, async () => !(await listed(path)).includes("hand-made"))
    expect((await send("GET", "/instances/hand-made")).status).toBe(404)
  })

  test("values of a scope, by name alone, that were applied, changed and deleted", async () => {
    await rest("POST", "/targets", { body: { name: "gitops", image, port: 8080, isolation_boundary: "per_user" } })
    const metadata = { name: scopeSecretName("gitops", "default"), namespace }
    const secret = { apiVersion: "v1", kind: "Secret", metadata, stringData: { TOKEN: "canary-of-gitops-one" } }
    const look = async () => (await rest("GET", "/targets/gitops/env/default")).body
    await apply(secret)
    const first = await look()
    expect(first).toMatchObject({ scope: "default", names: ["TOKEN"] })
    await apply({ ...secret, stringData: { TOKEN: "canary-of-gitops-two" } })
    const second = await look()
    expect(second.digest).not.toBe(first.digest)
    expect(JSON.stringify([first, second])).not.toContain("canary")
    await kubectl(["delete", "secret", metadata.name, "-n", namespace])
    expect((await look()).names).toEqual([])
  })
})

describe.each([
  ["kubectl apply", [], "kubectl-client-side-apply"],
  ["a GitOps controller's server-side apply", ["--server-side", "--field-manager=gitops"], "gitops"],
] as const)("a field that was last set by %s", (_, how, manager) => {
  const name = manager
  const path = `/targets/${name}`
  const fields = { isolationBoundary: "per_user", idleTTL: "10m", resources: { requests: { cpu: "100m" } } }
  const write = (more: Fields = {}): Promise<string> => apply(made("MCPTarget", name, { ...fields, ...more }), ...how)
  const put = (body: unknown, etag: string, query = "") =>
    send("PUT", `${path}${query}`, { body, headers: { "if-match": etag } })

  beforeEach(async () => {
    await kubectl(["delete", "mcpt", name, "-n", namespace, "--ignore-not-found"])
    await isShown("that it is gone", async () => (await send("GET", path)).status === 404)
    await write()
    await isShown("the target", async () => (await send("GET", path)).status === 200)
  })

  test("is neither changed nor removed by PUT and PATCH: 409 names it and the manager, and nothing is written", async () => {
    const { body, etag } = await rest("GET", path)
    const { idle_ttl, ...without } = body
    expect(idle_ttl).toBe("10m")
    const refused = (pointer: string) => ({
      status: 409,
      body: { code: "ManagedElsewhere", errors: [{ pointer, manager, detail: `is managed by ${manager}` }] },
    })
    expect(await put({ ...body, idle_ttl: "20m", paused: true }, etag)).toMatchObject(refused("/idle_ttl"))
    expect(await put(without, etag)).toMatchObject(refused("/idle_ttl"))
    expect(await send("PATCH", path, { body: { port: 9090 } })).toMatchObject(refused("/port"))
    expect(await send("PATCH", path, { body: { resources: null } })).toMatchObject(refused("/resources"))
    expect(await seen("mcpt", name)).toMatchObject({ metadata: { generation: 1 }, spec: fields })
  })

  test("may be sent back as it is beside a change; its manager can go on, and does not undo that change", async () => {
    const { body, etag } = await rest("GET", path)
    expect((await put({ ...body, max_instances: 7 }, etag)).status).toBe(200)
    await write({ idleTTL: "30m" })
    expect((await seen("mcpt", name))?.spec).toMatchObject({ ...fields, idleTTL: "30m", maxInstances: 7 })
  })

  test("is taken over with ?force=true, and ours from then on", async () => {
    const { body, etag } = await rest("GET", path)
    expect((await put({ ...body, idle_ttl: "20m" }, etag, "?force=true")).status).toBe(200)
    expect((await seen("mcpt", name))?.spec.idleTTL).toBe("20m")
    expect((await send("PATCH", path, { body: { idle_ttl: "25m" } })).status).toBe(200)
    expect((await send("PATCH", path, { body: { port: 9090 } })).status).toBe(409)
    // its old manager is told likewise, if it can be: a client-side apply asks nobody
    if (how.length > 0) await expect(write()).rejects.toThrow(/conflict.*\.spec\.idleTTL/s)
  })
})

test("fifty writers who name the version they read, while the status changes, each win once and lose nothing of each other", {
  timeout: 240_000,
}, async () => {
  const path = "/targets/contested"
  await rest("POST", "/targets", { body: { name: "contested", image, port: 8080 } })
  const admin = openCluster("test")
  let statuses = 0
  let isOver = false
  const count = async (): Promise<void> => {
    for (; !isOver; statuses++) {
      await admin.patchStatus(mcpTargetKind, { namespace, name: "contested" }, { status: { instances: statuses } })
      // quicker than any operator counts: between every read and the write after it
      await sleep(20)
    }
  }
  const counting = count()
  let conflicts = 0
  const versions: string[] = []
  /** Adds its name to what it read, until that was the version which it replaced. */
  const write = async (name: string): Promise<void> => {
    for (;;) {
      const { body, etag } = await rest("GET", path)
      const next = { ...body, args: [...(body.args ?? []), name] }
      const answer = await send("PUT", path, { body: next, headers: { "if-match": etag } })
      if (answer.status === 200) return void versions.push(answer.etag)
      expect(answer).toMatchObject({ status: 412, body: { code: "PreconditionFailed" } })
      conflicts++
    }
  }
  const names = Array.from({ length: 50 }, (_, index) => `w${index}`)
  await Promise.all(names.map(write)).finally(() => {
    isOver = true
  })
  await counting
  const stored = await seen("mcpt", "contested")
  expect(stored?.spec.args).toHaveLength(50)
  expect(stored?.spec.args).toEqual(expect.arrayContaining(names))
  expect(stored?.metadata.generation).toBe(51)
  expect(new Set(versions).size, "one wins each version").toBe(50)
  expect(conflicts).toBeGreaterThan(0)
  expect(statuses).toBeGreaterThan(10)
})
