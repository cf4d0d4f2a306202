/** `reflow check` on a real API server: one test for each thing that it can find wrong there. */
import { beforeAll, describe, expect, test } from "vitest"
import { type Actor, bootstrapSecretName, keysSecretName } from "../../src/adapters/kube/access.ts"
import { actorName, toRBAC } from "../../src/adapters/kube/rbac.ts"
import { type OwnKind, ownKinds } from "../../src/api/schema/own-kinds.ts"
import type { CheckedRole } from "../../src/cli/commands.ts"
import { runCheck } from "../../src/roles/check/check.ts"
import { accountKubeconfig, cluster, kubectl, makeNamespace } from "./support/cluster.ts"

type Place = { readonly own: string; readonly instances: string }
type Manifest = ReturnType<typeof toRBAC>[number]

/** A pair of namespaces with the rights of both roles, as `change` leaves them. */
const install = async (change: (object: Manifest) => Manifest | undefined = (object) => object): Promise<Place> => {
  const place = { own: await makeNamespace("check-own"), instances: await makeNamespace("check-instances") }
  const items = (["operator", "gateway"] as const)
    .flatMap((actor) => toRBAC(actor, place))
    .flatMap((object) => {
      const changed = change(object)
      return changed === undefined ? [] : [changed]
    })
  await kubectl(["create", "-f", "-"], { input: JSON.stringify({ apiVersion: "v1", kind: "List", items }) })
  return place
}

type Request = {
  readonly role: CheckedRole
  readonly kubeconfig: string
  readonly namespace: string
  readonly kinds?: readonly OwnKind[]
}

/** The lines of a check, and its verdict. */
const check = async ({
  role,
  kubeconfig,
  namespace,
  kinds,
}: Request): Promise<{ lines: string[]; allWell: boolean }> => {
  const lines: string[] = []
  const environment = { REFLOW_KUBERNETES__KUBECONFIG: kubeconfig, REFLOW_KUBERNETES__NAMESPACE: namespace }
  const allWell = await runCheck({
    role,
    settings: { file: undefined, assignments: [] },
    environment,
    write: (line) => lines.push(line.trimEnd()),
    ...(kinds === undefined ? {} : { kinds }),
  })
  return { lines, allWell }
}

const account = (actor: Actor, { own }: Place): Promise<string> =>
  accountKubeconfig({ namespace: own, name: actorName(actor) })

/** The lines that say that something is wrong. */
const failed = (lines: readonly string[]): string[] => lines.filter((line) => !line.startsWith("ok "))

let place: Place
let operator = ""
let gateway = ""
beforeAll(async () => {
  place = await install()
  operator = await account("operator", place)
  gateway = await account("gateway", place)
})

describe("with the rights of rbac/ and no more", () => {
  test("the operator is told that all is well", async () => {
    const { lines, allWell } = await check({ role: "operator", kubeconfig: operator, namespace: place.instances })
    expect(failed(lines)).toEqual([])
    expect(allWell).toBe(true)
    expect(lines[1]).toMatch(
      new RegExp(`^ok {6}API server: v1\\..* as system:serviceaccount:${place.own}:reflow-operator$`),
    )
    expect(lines.at(-2)).toMatch(new RegExp(`^ok {6}rights of the operator in ${place.instances}: all \\d+$`))
  })

  test("the gateway is told that all is well, and that its Secrets will be made", async () => {
    const { lines, allWell } = await check({ role: "gateway", kubeconfig: gateway, namespace: place.instances })
    expect(failed(lines)).toEqual([])
    expect(allWell).toBe(true)
    expect(lines.slice(-2)).toEqual([
      `ok      Secret ${place.own}/${keysSecretName}: is not there yet; the gateway makes it when it starts`,
      `ok      Secret ${place.own}/${bootstrapSecretName}: is not there yet; the gateway makes it when it starts`,
    ])
  })

  test("one actor is told what it lacks to be the other one", async () => {
    const { lines } = await check({ role: "gateway", kubeconfig: operator, namespace: place.instances })
    const [rights, own, keys] = failed(lines)
    expect(rights).toContain("may not create secrets (credentials, by computed names")
    expect(own).toContain(
      `rights of the gateway in ${place.own}, its own namespace: may not get secrets ${keysSecretName}`,
    )
    expect(own).toContain("may not patch leases reflow-gateways")
    expect(keys).toBe(`FAILED  Secret ${place.own}/${keysSecretName}: may not be read → kubectl apply -f rbac/`)
  })
})

test("Secrets that are there are told, without their values", async () => {
  const there = await install()
  await kubectl(["create", "secret", "generic", keysSecretName, "-n", there.own, "--from-literal=key=canary-7f3a"])
  const kubeconfig = await account("gateway", there)
  const { lines, allWell } = await check({ role: "gateway", kubeconfig, namespace: there.instances })
  expect(allWell).toBe(true)
  expect(lines).toContain(`ok      Secret ${there.own}/${keysSecretName}: is there`)
  expect(lines.join("\n")).not.toMatch(/canary|Y2FuYXJ5/)
})

describe("what is missing is told, with what to do", () => {
  test("one right", async () => {
    const without = await install((object) => {
      if (object.kind !== "Role") return object
      const rules = object.rules.map((rule) =>
        rule.resources.includes("mcpinstances/status") ? { ...rule, verbs: ["get"] } : rule,
      )
      return { ...object, rules }
    })
    const kubeconfig = await account("operator", without)
    const { lines, allWell } = await check({ role: "operator", kubeconfig, namespace: without.instances })
    expect(allWell).toBe(false)
    expect(failed(lines)).toEqual([
      `FAILED  rights of the operator in ${without.instances}: may not patch mcpinstances/status (writes their state) → kubectl apply -f rbac/, and run as its ServiceAccount reflow-operator`,
    ])
  })

  test("the right to make the gateway's Secrets", async () => {
    const without = await install((object) => {
      if (object.kind !== "Role" || object.metadata.name !== actorName("gateway")) return object
      return {
        ...object,
        rules: object.rules.filter((rule) => !rule.verbs.includes("create") || rule.verbs.length > 1),
      }
    })
    const kubeconfig = await account("gateway", without)
    const { lines } = await check({ role: "gateway", kubeconfig, namespace: without.instances })
    expect(failed(lines)).toEqual([
      expect.stringContaining("may not create secrets (creates these two Secrets on first start"),
      `FAILED  Secret ${without.own}/${keysSecretName}: is not there and may not be made → kubectl apply -f rbac/`,
      `FAILED  Secret ${without.own}/${bootstrapSecretName}: is not there and may not be made → kubectl apply -f rbac/`,
    ])
  })

  test("every Role in the namespace of the instances", async () => {
    const without = await install((object) =>
      object.kind === "RoleBinding" && object.metadata.namespace !== object.subjects[0]?.namespace ? undefined : object,
    )
    const kubeconfig = await account("operator", without)
    const { lines } = await check({ role: "operator", kubeconfig, namespace: without.instances })
    expect(failed(lines)).toEqual([
      expect.stringMatching(/: none of \d+: no Role is bound to this client there, or the namespace does not exist → /),
    ])
  })

  test("a namespace, to those who may know", async () => {
    const { lines, allWell } = await check({ role: "operator", kubeconfig: cluster.kubeconfig, namespace: "no-such" })
    expect(allWell).toBe(false)
    expect(failed(lines)).toContain("FAILED  namespace no-such: does not exist → kubectl apply -f rbac/")
  })

  test("both CRDs", async () => {
    const kinds = ownKinds().map((kind) => ({ ...kind, apiVersion: "mcp.reflow.io/v9" }))
    const { lines, allWell } = await check({
      role: "operator",
      kubeconfig: operator,
      namespace: place.instances,
      kinds,
    })
    expect(allWell).toBe(false)
    const help = "kubectl apply -f crd/ of this version"
    expect(failed(lines)).toEqual([
      `FAILED  CRD mcpinstances.mcp.reflow.io: mcp.reflow.io/v9 MCPInstance is not served → ${help}`,
      `FAILED  CRD mcptargets.mcp.reflow.io: mcp.reflow.io/v9 MCPTarget is not served → ${help}`,
    ])
  })

  test("a field of a CRD that is older than the program", async () => {
    const kinds = ownKinds().map((kind) => ({ ...kind, schema: structuredClone(kind.schema) }))
    const newer = kinds[1]?.schema as { properties: { spec: { properties: object } } }
    Object.assign(newer.properties.spec.properties, {
      addedLater: { type: "string" },
      port: { type: "integer", format: "int32", minimum: 1, maximum: 99 },
    })
    const { lines, allWell } = await check({
      role: "operator",
      kubeconfig: operator,
      namespace: place.instances,
      kinds,
    })
    expect(allWell).toBe(false)
    expect(failed(lines)).toEqual([
      expect.stringMatching(
        /^FAILED {2}CRD mcptargets\.mcp\.reflow\.io: .*spec\.port: maximum differs.*spec\.addedLater is missing → /,
      ),
    ])
  })

  test("the API server", async () => {
    const kubeconfig = await accountKubeconfig({
      namespace: place.own,
      name: actorName("operator"),
      server: "https://127.0.0.1:1",
    })
    const { lines, allWell } = await check({ role: "operator", kubeconfig, namespace: place.instances })
    expect(allWell).toBe(false)
    expect(lines).toHaveLength(2)
    expect(lines[1]).toMatch(/^FAILED {2}API server: get \/version: .* → start it, or correct kubernetes\.kubeconfig/)
  })

  test("credentials that the API server takes", async () => {
    const path = await account("operator", place)
    await kubectl(["config", "set-credentials", actorName("operator"), "--token=not-a-token"], { kubeconfig: path })
    const { lines } = await check({ role: "operator", kubeconfig: path, namespace: place.instances })
    expect(failed(lines)).toEqual([
      expect.stringMatching(/^FAILED {2}API server: .* → renew the credentials in kubernetes\.kubeconfig$/),
    ])
  })
})
