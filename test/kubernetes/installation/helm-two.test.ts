/** Two releases in one cluster, each with namespaces of its own; the second leaves the kinds to the first. */
import { afterAll, beforeAll, expect, test } from "vitest"
import { type Grant, grants } from "../../../src/adapters/kube/access.ts"
import { actorName } from "../../../src/adapters/kube/rbac.ts"
import { cluster, kubectl, kubectlJson, makeNamespace } from "../support/cluster.ts"
import { dualTarget, openSession, touch } from "../support/dual.ts"
import { chart, describeChart, helm, makeRoomForChart, removeChart } from "../support/helm.ts"
import { ensureImages } from "../support/images.ts"
import { bootstrapToken, gatewayHost, instanceNamespace, ownNamespace } from "../support/install.ts"
import { type Caller, createCaller } from "../support/load.ts"

/** A release, and somebody who uses it as its first administrator. */
type Installed = {
  readonly own: string
  readonly instances: string
  readonly host: string
  readonly token: string
  readonly caller: Caller
}

const values = (instances: string, isFirst: boolean) =>
  JSON.stringify({
    namespaces: { instances },
    crds: { install: isFirst },
    gateway: { replicas: 1 },
    // any host: the Service's address is known only when it is there
    config: { gateway: { public_url: "", allowed_hosts: [] } },
  })

const read = async (namespace: string, what: string, path: string): Promise<string> =>
  kubectl(["get", ...what.split(" "), "-n", namespace, "-o", `jsonpath=${path}`])

const install = async (own: string, instances: string, isFirst: boolean): Promise<Installed> => {
  const flags = ["--namespace", own, "--create-namespace", "--values", "-", "--wait"]
  await helm(["install", "reflow-operator", chart, ...flags], { input: values(instances, isFirst) })
  const host = await gatewayHost(own)
  const token = await bootstrapToken(own)
  const environment = [{ name: "HOME_OF", value: instances }]
  await kubectl(["apply", "-f", "-"], { input: JSON.stringify(dualTarget(instances, environment)) })
  await kubectl(["wait", "--for=condition=Accepted", "mcpt/dual", "-n", instances, "--timeout=30s"])
  return { own, instances, host, token, caller: createCaller(`http://${host}/mcp/dual`, token) }
}

const ask = async ({ host }: Installed, path: string, token: string) => {
  const response = await fetch(`http://${host}/api/${path}`, { headers: { authorization: `Bearer ${token}` } })
  return { status: response.status, text: await response.text() }
}

/** A verb of a line of the table of rights, on one name if it is bound to names. */
type Right = Pick<Grant, "actor" | "where" | "group" | "resource"> & { readonly verb: string; readonly name?: string }

const rights: readonly Right[] = grants.flatMap(({ actor, where, group, resource, verbs, names }) =>
  verbs.flatMap((verb) =>
    names === undefined
      ? [{ actor, where, group, resource, verb }]
      : names.map((name) => ({ actor, where, group, resource, verb, name })),
  ),
)

/** Whether the actor of a release has a right in a namespace. */
const may = ({ actor, group, resource, verb, name }: Right, of: Installed, namespace: string): Promise<boolean> => {
  const [plural = "", subresource] = resource.split("/")
  const type = `${plural}${group === "" ? "" : `.${group}`}${name === undefined ? "" : `/${name}`}`
  const more = subresource === undefined ? [] : [`--subresource=${subresource}`]
  const account = `--as=system:serviceaccount:${of.own}:${actorName(actor)}`
  // kubectl ends with 1 for "no"
  return kubectl(["auth", "can-i", verb, type, ...more, "-n", namespace, account, "--quiet"]).then(
    () => true,
    () => false,
  )
}

let first: Installed
let second: Installed
const sessions = new Map<Installed, string>()

describeChart("two releases in one cluster", () => {
  beforeAll(async () => {
    await ensureImages(["gateway", "dual"], cluster)
    await makeRoomForChart()
    first = await install(ownNamespace, instanceNamespace, true)
    // the second one's namespaces are there already, as a platform team may have made them
    const own = await makeNamespace("second-system", { "pod-security.kubernetes.io/enforce": "restricted" })
    const instances = await makeNamespace("second", { "pod-security.kubernetes.io/enforce": "restricted" })
    second = await install(own, instances, false)
  }, 800_000)
  afterAll(async () => {
    for (const each of [first, second]) each?.caller.agent.destroy()
    const namespaces = [first, second].flatMap((each) => (each === undefined ? [] : [each.own, each.instances]))
    await removeChart(...namespaces)
  }, 400_000)

  test("run a server each for the same name of a target, each in its own namespace", async () => {
    for (const each of [first, second]) {
      sessions.set(each, await openSession(each.caller))
      expect(await touch(each.caller, sessions.get(each) ?? "")).toBe(1)
      const of = await read(each.instances, "pods", "{.items[*].spec.containers[0].env[?(@.name=='HOME_OF')].value}")
      expect(of).toBe(each.instances)
    }
  })

  test("show each only its own instances and targets", async () => {
    for (const [each, other] of [
      [first, second],
      [second, first],
    ] as const) {
      const targets = await ask(each, "targets", each.token)
      expect(targets.text).toContain(`"${each.instances}"`)
      expect(targets.text).not.toContain(`"${other.instances}"`)
      const { items } = JSON.parse((await ask(each, "instances", each.token)).text)
      const found = (await kubectlJson(["get", "mcpi", "-n", each.instances])) as {
        items: { metadata: { name: string } }[]
      }
      expect(items.map(({ name }: { name: string }) => name)).toEqual(found.items.map(({ metadata }) => metadata.name))
      expect(items).toHaveLength(1)
    }
  })

  test("take neither each other's tokens nor each other's sessions", async () => {
    for (const [one, other] of [
      [first, second],
      [second, first],
    ] as const) {
      expect((await ask(one, "whoami", one.token)).status).toBe(200)
      expect((await ask(one, "whoami", other.token)).status).toBe(401)
      await expect(touch(one.caller, sessions.get(other) ?? "")).rejects.toThrow(/^4\d\d: /)
    }
  })

  test("have each right in their own namespaces, and none in each other's", async () => {
    const wrong: string[] = []
    for (const right of rights) {
      const text = `${right.actor} ${right.verb} ${right.resource} ${right.name ?? ""}`
      const home = second[right.where === "own" ? "own" : "instances"]
      const places = [home, first.own, first.instances]
      const answers = await Promise.all(places.map((namespace) => may(right, second, namespace)))
      if (!answers.every((has, index) => has === (index === 0))) wrong.push(`${text}: ${answers}`)
    }
    expect(rights.length).toBeGreaterThan(40)
    expect(wrong).toEqual([])
  })

  test("have a leader each", async () => {
    const holders = await Promise.all(
      [first, second].map(({ own }) => read(own, "lease reflow-operator", "{.spec.holderIdentity}")),
    )
    expect(holders[0]).not.toBe("")
    expect(holders[1]).not.toBe("")
    expect(holders[0]).not.toBe(holders[1])
  })

  test("do not miss each other: when the second is uninstalled, the first keeps kinds, servers and sessions", async () => {
    await helm(["uninstall", "reflow-operator", "--namespace", second.own])
    await kubectl(["delete", "namespace", second.instances, second.own, "--timeout=120s"], { timeoutMs: 150_000 })
    expect(await touch(first.caller, sessions.get(first) ?? "")).toBe(2)
    expect((await ask(first, "instances", first.token)).status).toBe(200)
  })
})
