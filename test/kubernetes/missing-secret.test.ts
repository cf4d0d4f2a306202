/** An instance whose Secret does not exist, as a gateway leaves it that is killed between the creates of the two. */
import { beforeAll, expect, test } from "vitest"
import { eventually } from "../support/processes.ts"
import { initialize, post } from "../support/reflow.ts"
import { cluster, kubectl, kubectlJson } from "./support/cluster.ts"
import { ensureImages } from "./support/images.ts"
import { type Installation, makeInstallation, type RoleProcess, readBootstrapToken, startRole } from "./support/role.ts"

let place: Installation
let namespace = ""
let token = ""
let urls: string[] = []
let operator: RoleProcess

const start = async (role: "operator" | "gateway"): Promise<RoleProcess> =>
  startRole(role, { kubeconfig: await place.kubeconfig(role), namespace, until: "file" })

beforeAll(async () => {
  await ensureImages(["dice"], cluster)
  place = await makeInstallation("missing-secret")
  namespace = place.instances
  operator = await start("operator")
  await operator.line("leading")
  const gateways = [await start("gateway"), await start("gateway")]
  urls = await Promise.all(gateways.map(async (each) => String((await each.line("serving")).url)))
  token = await readBootstrapToken(place)
  const spec = {
    image: "ghcr.io/reflow/example-dice:1.0.0",
    port: 8080,
    resources: { requests: { cpu: "10m", memory: "16Mi" }, limits: { cpu: "500m", memory: "128Mi" } },
  }
  const target = {
    apiVersion: "mcp.reflow.io/v1alpha1",
    kind: "MCPTarget",
    metadata: { name: "dice", namespace },
    spec,
  }
  await kubectl(["apply", "-f", "-"], { input: JSON.stringify(target) })
  await kubectl(["wait", "--for=condition=Accepted", "mcpt/dice", "-n", namespace, "--timeout=30s"])
}, 300_000)

type Found = {
  readonly metadata: { readonly name: string; readonly uid: string; readonly ownerReferences?: readonly object[] }
  readonly spec?: { readonly secretName?: string }
  readonly status?: { readonly phase?: string; readonly failure?: { readonly message?: string } }
}

const all = async (kind: string): Promise<readonly Found[]> =>
  ((await kubectlJson(["get", kind, "-n", namespace, "-o", "json"])) as { items: readonly Found[] }).items

const call = async (url = ""): Promise<number> => {
  const answer = await post(`${url}/mcp/dice`, token, initialize())
  await answer.text()
  return answer.status
}

test("the next request, through any gateway, creates it, and is answered by the same instance", async () => {
  expect(await call(urls[0])).toBe(200)
  const [instance] = await all("mcpi")
  const { secretName = "" } = instance?.spec ?? {}
  // a kubelet keeps an immutable Secret as long as it has a Pod with it, so the first Pod must be gone
  operator.process.kill("SIGTERM")
  await operator.ended
  await kubectl(["delete", "pod", "--all", "-n", namespace, "--grace-period=1"])
  await kubectl(["delete", "secret", secretName, "-n", namespace])
  await start("operator")
  const isMissing = async () => (await all("mcpi"))[0]?.status?.failure?.message?.includes(secretName) === true
  await eventually(isMissing, 60_000, "the operator says that the Secret is missing")
  expect(await call(urls[1])).toBe(200)
  expect((await all("mcpi")).map(({ metadata }) => metadata.uid)).toEqual([instance?.metadata.uid])
  const [secret] = (await all("secret")).filter(({ metadata }) => metadata.name === secretName)
  expect(secret?.metadata.ownerReferences).toMatchObject([{ kind: "MCPInstance", uid: instance?.metadata.uid }])
}, 180_000)
