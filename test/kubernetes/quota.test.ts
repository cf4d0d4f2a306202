/** A ResourceQuota that counts what the gateway makes: told as what it is, to the caller and in the log. */
import { beforeAll, expect, test } from "vitest"
import { eventually } from "../support/processes.ts"
import { initialize, post } from "../support/reflow.ts"
import { kubectl, kubectlJson } from "./support/cluster.ts"
import { type Installation, makeInstallation, type RoleProcess, readBootstrapToken, startRole } from "./support/role.ts"

let place: Installation
let namespace = ""
let url = ""
let token = ""
let gateway: RoleProcess

const create = (object: object) => kubectl(["create", "-f", "-"], { input: JSON.stringify(object) })

beforeAll(async () => {
  place = await makeInstallation("quota")
  namespace = place.instances
  gateway = startRole("gateway", { kubeconfig: await place.kubeconfig("gateway"), namespace, until: "file" })
  url = String((await gateway.line("serving")).url)
  token = await readBootstrapToken(place)
  const spec = { image: "registry.invalid/nothing:1", port: 8080 }
  await create({ apiVersion: "mcp.reflow.io/v1alpha1", kind: "MCPTarget", metadata: { name: "full", namespace }, spec })
})

const rest = (method: string, path: string, body: object) =>
  fetch(`${url}/api${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  })

test.each([
  ["secrets", "requested: secrets=1, used: secrets=0, limited: secrets=0"],
  ["count/mcpinstances.mcp.reflow.io", "limited: count/mcpinstances.mcp.reflow.io=0"],
])(
  "no room for %s is QuotaExceeded, with the quota's words",
  async (resource, words) => {
    const quota = { apiVersion: "v1", kind: "ResourceQuota", metadata: { name: "tight", namespace } }
    await create({ ...quota, spec: { hard: { [resource]: "0" } } })
    await kubectl(["wait", "resourcequota/tight", "-n", namespace, "--for=jsonpath={.status.used}", "--timeout=60s"])
    const ask = async () => {
      const answer = await post(`${url}/mcp/full`, token, initialize())
      return {
        id: answer.headers.get("x-request-id"),
        after: answer.headers.get("retry-after"),
        body: await answer.json(),
      }
    }
    // the API server learns of a quota a moment after it says that it knows it
    let told = await ask()
    await eventually(
      async () => {
        told = await ask()
        return JSON.stringify(told.body).includes("QuotaExceeded")
      },
      60_000,
      "the quota is enforced",
    )
    expect(told.body).toMatchObject({
      error: { data: { code: "QuotaExceeded", reason: "QuotaExceeded", retryable: true } },
    })
    expect(JSON.stringify(told.body)).toContain("exceeded quota: tight")
    expect(JSON.stringify(told.body)).toContain(words)
    expect(told.after).toBe("30")
    await expect
      .poll(() => gateway.lines.find(({ request_id }) => request_id === told.id))
      .toMatchObject({ code: "QuotaExceeded", status: 429, cause: expect.stringContaining("tight") })
    if (resource === "secrets") {
      const put = await rest("PUT", "/targets/full/env/default", { TOKEN: "canary" })
      expect(put.status).toBe(429)
      const problem = await put.text()
      expect(problem).toContain("exceeded quota: tight")
      expect(problem).not.toContain("canary")
    }
    await kubectl(["delete", "resourcequota", "tight", "-n", namespace])
    const left = (await kubectlJson(["get", "secrets,mcpi", "-n", namespace, "-o", "json"])) as { items: object[] }
    expect(left.items).toEqual([])
  },
  180_000,
)
