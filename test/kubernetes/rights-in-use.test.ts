/**
 * The rights that are used seldom, used: each test does for real, with the ServiceAccounts of rbac/ and no more, what
 * days of a running installation may not show. The audit at the end of a run counts on it.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { type MCPInstance, mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { recommendedLabels } from "../../src/api/names.ts"
import type { Reflection } from "../../src/ports/cluster.ts"
import { eventually } from "../support/processes.ts"
import { initialize, post } from "../support/reflow.ts"
import { cluster, kubectl, kubectlJson, openCluster, readServer, waitFor } from "./support/cluster.ts"
import { type Front, startFront } from "./support/front.ts"
import { ensureImages, images } from "./support/images.ts"
import { type Installation, makeInstallation, type RoleProcess, startRole } from "./support/role.ts"

let place: Installation
let instances: Reflection<MCPInstance>
let front: Front

beforeAll(async () => {
  await ensureImages(["notes"], cluster)
  place = await makeInstallation("rights")
  instances = openCluster("test").watch(mcpInstanceKind, { namespace: place.instances })
  const { server, "certificate-authority-data": authority } = await readServer()
  front = await startFront(String(server), typeof authority === "string" ? atob(authority) : undefined)
}, 300_000)
afterAll(() => front?.close())

const create = (object: object): Promise<string> => kubectl(["create", "-f", "-"], { input: JSON.stringify(object) })

/** An operator that ends in order lets its Lease go: the next one need not wait for it. */
const end = async (role: RoleProcess): Promise<void> => {
  role.process.kill("SIGTERM")
  await role.ended
}

describe("an administrator of REST API and MCP endpoints", () => {
  let operator: RoleProcess
  let gateway: RoleProcess
  let url = ""
  let token = ""
  beforeAll(async () => {
    const namespace = place.instances
    operator = startRole("operator", { kubeconfig: await place.kubeconfig("operator"), namespace, until: "file" })
    gateway = startRole("gateway", { kubeconfig: await place.kubeconfig("gateway"), namespace, until: "file" })
    await operator.line("leading")
    url = String((await gateway.line("serving")).url)
    const path = "jsonpath={.data.token}"
    token = atob(await kubectl(["get", "secret", "reflow-bootstrap-token", "-n", place.own, "-o", path]))
  })
  afterAll(async () => {
    await end(gateway)
    await end(operator)
  })

  const api = async (method: string, path: string, body?: object): Promise<unknown> => {
    const response = await fetch(`${url}/api${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        "content-type": method === "PATCH" ? "application/merge-patch+json" : "application/json",
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    expect(response.ok, `${method} ${path}: ${text}`).toBe(true)
    return text === "" ? undefined : JSON.parse(text)
  }
  const makeTarget = (name: string, more: object = {}): Promise<unknown> =>
    api("POST", "/targets", { name, image: images.notes.name, port: 8080, ...more })
  const open = async (target: string) => {
    const response = await post(`${url}/mcp/${target}`, token, initialize())
    return { status: response.status, text: await response.text() }
  }
  const readyOne = (not?: string): Promise<MCPInstance> => {
    const isReady = ({ metadata, status }: MCPInstance): boolean =>
      status?.phase === "Ready" && `${metadata.uid} ${status.podName}` !== not
    return waitFor(instances, (each) => [...each.items()].find(isReady), 60_000, "an instance is Ready")
  }

  test("makes a target and values, restarts with and without a drain, and removes both again", async () => {
    await makeTarget("notes", { credentials: [{ name: "NOTES_TOKEN" }] })
    await kubectl(["annotate", "mcptarget", "notes", "note=theirs", "-n", place.instances])
    expect(await api("PATCH", "/targets/notes", { max_instances: 7 })).toMatchObject({
      max_instances: 7,
      generation: 2,
    })
    await api("PUT", "/targets/notes/env/me", { NOTES_TOKEN: "first-value" })
    expect((await open("notes")).status).toBe(200)
    const first = await readyOne()

    const log = await fetch(`${url}/api/instances/${first.metadata.name}/logs?tail=5`, {
      headers: { authorization: `Bearer ${token}` },
    })
    expect([log.status, (await log.text()).includes("first-value")]).toEqual([200, false])

    await kubectl(["delete", "pod", first.status?.podName ?? "", "-n", place.instances, "--wait=false"])
    const { metadata } = await readyOne(`${first.metadata.uid} ${first.status?.podName}`)
    expect(metadata.uid).toBe(first.metadata.uid)
    const readyEvent = async () => {
      const about = `--field-selector=involvedObject.name=${metadata.name},reason=Ready`
      const { items } = (await kubectlJson(["get", "events", "-n", place.instances, about])) as {
        items: readonly { count: number }[]
      }
      return items.map(({ count }) => count)
    }
    await expect.poll(readyEvent, { timeout: 30_000 }).toEqual([2])

    expect(await api("DELETE", "/targets/notes/env/me")).toMatchObject({ restarting: [metadata.name] })
    await waitFor(
      instances,
      (each) => (each.get(metadata.name)?.metadata.uid === metadata.uid ? undefined : true),
      30_000,
      "the instance with the old values is gone",
    )
    expect((await open("notes")).status).toBe(200)
    expect(await api("POST", "/targets/notes/restart-instances", {})).toBeDefined()
    await api("DELETE", "/targets/notes")
    await waitFor(instances, (each) => (each.size === 0 ? true : undefined), 60_000, "no instance is left")
  })

  test("is shown the last lines of their own server that does not start", async () => {
    await makeTarget("broken", { command: ["node", "-e", "console.error('no database'); process.exit(3)"] })
    const { text } = await open("broken")
    expect(text).toContain("InstanceFailed")
    expect(text).toContain("no database")
    await api("DELETE", "/targets/broken")
  })
})

/** Where objects of ours are listed and watched, by plural. */
const collection = (plural: string): RegExp => new RegExp(`/${plural}$`)
const reads = (plural: string, name: string): boolean =>
  front.requests.some((each) => each.startsWith("GET ") && each.includes(`/${plural}/${name}`))

/** No list and no watch of these kinds comes through any more; what is known of them stays as it is. */
const blind = (...plurals: readonly string[]): void => {
  const hidden = plurals.map(collection)
  front.set((method, { pathname }) =>
    method === "GET" && hidden.some((each) => each.test(pathname)) ? { code: 503, retryAfter: 1 } : "pass",
  )
  front.breakWatches(503)
}

describe("the operator", () => {
  const ownKind = { apiVersion: "mcp.reflow.io/v1alpha1" }

  test("removes a Pod and a Service of ours that nobody owns when it starts, and counts them", async () => {
    const labels = { ...recommendedLabels("left-over"), "mcp.reflow.io/instance": "left-over" }
    const metadata = { name: "left-over", namespace: place.instances, labels }
    await create({ apiVersion: "v1", kind: "Service", metadata, spec: { ports: [{ port: 80 }] } })
    const securityContext = { runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: "RuntimeDefault" } }
    const least = { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } }
    const containers = [{ name: "mcp", image: images.notes.name, securityContext: least }]
    const spec = { containers, securityContext, terminationGracePeriodSeconds: 1 }
    await create({ apiVersion: "v1", kind: "Pod", metadata, spec })
    const kubeconfig = await place.kubeconfig("operator")
    const operator = startRole("operator", { kubeconfig, namespace: place.instances })
    const gone = ["wait", "--for=delete", "service/left-over", "pod/left-over", "-n", place.instances]
    await kubectl([...gone, "--timeout=40s"])
    const { text } = await operator.probe("/metrics")
    for (const kind of ["Pod", "Service"]) expect(text).toContain(`reflow_garbage_collected_total{kind="${kind}"} 1\n`)
    await end(operator)
  })

  test("whose watches have gone blind asks the API server before it trusts what it knows, and makes nothing twice", async () => {
    const target = {
      ...ownKind,
      kind: "MCPTarget",
      metadata: { name: "behind", namespace: place.instances },
      spec: { transportType: "kubernetes", image: "registry.invalid/nothing:1", port: 8080 },
    }
    await create(target)
    const kubeconfig = await place.kubeconfig("operator", front.url)
    const operator = startRole("operator", { kubeconfig, namespace: place.instances })
    await operator.line("leading")
    const accepted = ["wait", "--for=condition=Accepted", "mcpt/behind", "-n", place.instances, "--timeout=30s"]
    await kubectl(accepted)

    blind("mcptargets", "pods", "services")
    await kubectl(["delete", "mcpt", "behind", "-n", place.instances])
    await create(target)
    await create({
      ...ownKind,
      kind: "MCPInstance",
      metadata: { name: "behind", namespace: place.instances },
      spec: { image: "registry.invalid/nothing:1", port: 8080, targetName: "behind", subjectKey: "user:behind" },
    })
    await eventually(() => front.requests.some((each) => /^POST .*\/pods\?/.test(each)), 60_000, "a Pod is made")
    blind("mcptargets", "pods", "services", "mcpinstances")
    for (const [plural, name] of [
      ["services", "behind"],
      ["pods", "behind-"],
      ["mcptargets", "behind"],
      ["mcpinstances", "behind"],
    ] as const)
      await eventually(() => reads(plural, name), 40_000, `${plural} are read by name`)
    for (const plural of ["services", "pods"])
      expect(front.requests.filter((each) => each.startsWith(`POST `) && each.includes(`/${plural}?`))).toHaveLength(1)
    await end(operator)
  })
})
