/** The life of a release: docs/install.md with Helm from its first line on, to the last one of the chart's notes. */
import { afterAll, beforeAll, expect, test } from "vitest"
import { eventually } from "../../support/processes.ts"
import { repositoryFile } from "../../support/reflow.ts"
import { cluster, kubectl, kubectlJson } from "../support/cluster.ts"
import { blockOf, runCommands } from "../support/commands.ts"
import { dualTarget, openSession, touch } from "../support/dual.ts"
import {
  chart,
  describeChart,
  helm,
  makeRoomForChart,
  readRelease,
  removeChart,
  settledVersions,
} from "../support/helm.ts"
import { ensureImages } from "../support/images.ts"
import { bootstrapToken, forward, instanceNamespace, isRolledOut, ownNamespace } from "../support/install.ts"
import { type Caller, createCaller } from "../support/load.ts"

const release = { name: "reflow-operator", namespace: ownNamespace }
const own = ["--namespace", ownNamespace]
/** As the specification writes it. */
const install = "helm install reflow-operator ./chart --namespace reflow-system --create-namespace\n"

let notes = ""
let session = ""
let counted = 0
let token = ""
const callers: Caller[] = []

/** Somebody with the first administrator's token, by a port that leads to a living Pod. */
const callerNow = async (): Promise<Caller> => {
  const caller = createCaller(`http://${await forward()}/mcp/dual`, token)
  callers.push(caller)
  return caller
}

type Found = {
  readonly kind: string
  readonly metadata: { readonly name: string; readonly uid: string; readonly labels?: Readonly<Record<string, string>> }
}

const get = async (namespace: string, ...what: readonly string[]): Promise<readonly Found[]> =>
  ((await kubectlJson(["get", ...what, "-n", namespace])) as { items: Found[] }).items

const uids = async (namespace: string, ...what: readonly string[]): Promise<string[]> =>
  (await get(namespace, ...what)).map(({ metadata }) => metadata.uid).sort()

/** Every kind of object that can be listed and deleted. */
const listable = async (namespaced: boolean): Promise<string> => {
  const flags = ["--verbs=list,delete", `--namespaced=${namespaced}`, "-o", "name", "--cached=false"]
  const names = (await kubectl(["api-resources", ...flags])).trim().split("\n")
  return names.filter((name) => !name.startsWith("events")).join(",")
}

/** What lies in a namespace, as `secret/name`, but for what Kubernetes puts into each. */
const contents = async (namespace: string): Promise<string[]> => {
  const text = await kubectl(["get", await listable(true), "-n", namespace, "-o", "name"])
  const names = text.trim().split("\n").filter(Boolean)
  return names.filter((name) => !["configmap/kube-root-ca.crt", "serviceaccount/default"].includes(name)).sort()
}

/** What belongs to the whole cluster and to this project. */
const shared = async (): Promise<string[]> => {
  const selector = ["-l", "app.kubernetes.io/part-of=reflow-gateway"]
  const text = await kubectl(["get", await listable(false), ...selector, "-o", "name"])
  return text.trim().split("\n").filter(Boolean).sort()
}

/** The commands that the notes give for having nothing left. */
const lastCommands = (): string => {
  const [, after = ""] = notes.split("To remove everything:\n")
  return `${after.replace(/^ +/gm, "").trimEnd()}\n`
}

describeChart("helm install reflow-operator ./chart --namespace reflow-system --create-namespace", () => {
  beforeAll(async () => {
    await ensureImages(["gateway", "dual", "github"], cluster)
    await makeRoomForChart()
  }, 800_000)
  afterAll(async () => {
    for (const { agent } of callers) agent.destroy()
    await removeChart(ownNamespace, instanceNamespace)
  }, 400_000)

  test("installs an operator and two gateways that become available and never restart", {
    timeout: 360_000,
  }, async () => {
    expect(blockOf("README.md", "helm")).toBe(install)
    await runCommands(install)
    notes = await helm(["get", "notes", release.name, ...own])
    await isRolledOut()
    const { items } = (await kubectlJson(["get", "pods", "-n", ownNamespace])) as {
      items: { status: { containerStatuses: { restartCount: number }[] } }[]
    }
    expect(items.map(({ status }) => status.containerStatuses.map(({ restartCount }) => restartCount))).toEqual([
      [0],
      [0],
      [0],
    ])
  })

  test("has the Pod Security Standard enforced in both namespaces, also in that which Helm makes", async () => {
    for (const name of [ownNamespace, instanceNamespace]) {
      const { metadata } = (await kubectlJson(["get", "namespace", name])) as Found
      expect(metadata.labels).toMatchObject({ "pod-security.kubernetes.io/enforce": "restricted" })
    }
  })

  test("passes helm test, which asks the API server for each right and the gateway for an answer", async () => {
    const block = blockOf("docs/install.md", "helm")
    expect(block.startsWith(install)).toBe(true)
    const said = await runCommands(block.slice(install.length))
    expect(said.match(/Phase: +Succeeded/g)).toHaveLength(2)
    expect(await kubectl(["get", "pods", "-n", ownNamespace, "-o", "name"])).not.toContain("check")
  })

  test("fails helm test when a right is missing, and when no gateway answers", { timeout: 240_000 }, async () => {
    const why = async (): Promise<string> => {
      const failure = await helm(["test", release.name, ...own, "--timeout", "90s"]).then(
        () => "",
        (error: Error) => error.message,
      )
      const logs = ["logs", "-n", ownNamespace, "-l", "app.kubernetes.io/name=reflow-check", "--tail=-1"]
      return `${failure}\n${await kubectl(logs)}`
    }
    const role = JSON.stringify(await kubectlJson(["get", "role", "reflow-operator", "-n", instanceNamespace]))
    await kubectl(["delete", "role", "reflow-operator", "-n", instanceNamespace])
    expect(await why()).toMatch(/FAILED {2}rights of the operator in reflow: none/)
    await kubectl(["create", "-f", "-"], { input: role })
    const select = (name: string) =>
      kubectl(["patch", "service/reflow-gateway", "-n", ownNamespace, "--type=merge", "-p", selector(name)])
    const selector = (name: string) => JSON.stringify({ spec: { selector: { "app.kubernetes.io/name": name } } })
    await select("nobody")
    expect(await why()).toMatch(/FAILED {2}gateway at http:\/\/reflow-gateway\.reflow-system:80: /)
    await select("reflow-gateway")
    await kubectl(["delete", "pods", "-n", ownNamespace, "-l", "app.kubernetes.io/name=reflow-check"])
  })

  test("gives a working gateway, as the notes say: a port, a token, a target, a session that counts", async () => {
    expect(notes).toContain("kubectl -n reflow-system port-forward svc/reflow-gateway 8080:80")
    expect(notes).toContain("get secret reflow-bootstrap-token")
    token = await bootstrapToken()
    await kubectl(["apply", "-f", "-"], { input: JSON.stringify(dualTarget(instanceNamespace)) })
    await kubectl(["wait", "--for=condition=Accepted", "mcpt/dual", "-n", instanceNamespace, "--timeout=30s"])
    const caller = await callerNow()
    session = await openSession(caller)
    counted = await touch(caller, session)
    expect(await touch(caller, session)).toBe(counted + 1)
    counted++
  })

  test("changes nothing when it is upgraded to itself, and again", { timeout: 240_000 }, async () => {
    // what the test before last took away and gave back is no longer Helm's doing
    await helm(["upgrade", release.name, chart, ...own])
    const read = () => readRelease(release.name, release.namespace)
    const before = await settledVersions(read)
    expect(Object.keys(before).length).toBeGreaterThan(15)
    for (const _ of [1, 2]) {
      await helm(["upgrade", release.name, chart, ...own])
      expect(await settledVersions(read)).toEqual(before)
    }
  })

  test("keeps the kinds, and with them every object, when they are no longer its own", async () => {
    const kinds = ["mcptargets.mcp.reflow.io", "mcpinstances.mcp.reflow.io"]
    const before = await uids(instanceNamespace, "mcpt,mcpi")
    await helm(["upgrade", release.name, chart, ...own, "--set", "crds.install=false,namespaces.create=false"])
    expect(await helm(["get", "manifest", release.name, ...own])).not.toContain("kind: CustomResourceDefinition")
    expect((await kubectl(["get", "crd", ...kinds, "-o", "name"])).trim().split("\n")).toHaveLength(2)
    expect(await uids(instanceNamespace, "mcpt,mcpi")).toEqual(before)
    await helm(["upgrade", release.name, chart, ...own, "--reset-values"])
    expect(await helm(["get", "manifest", release.name, ...own])).toContain("kind: CustomResourceDefinition")
  })

  test("runs an instance by hand with the operator alone, and has nothing of the gateway then", async () => {
    await helm(["upgrade", release.name, chart, ...own, "--set", "gateway.enabled=false"])
    const left = (await contents(ownNamespace)).filter((name) =>
      /^(deploy|service|role|pod.*bud)\w*.*gateway/.test(name),
    )
    expect(left).toEqual([])
    await kubectl(["apply", "-f", repositoryFile("examples/instances/github.yaml")])
    const ready = ["wait", "--for=condition=Ready", "mcpi/github-user-abc123", "-n", instanceNamespace]
    expect(await kubectl([...ready, "--timeout=90s"], { timeoutMs: 100_000 })).toContain("condition met")
    await kubectl(["delete", "-f", repositoryFile("examples/instances/github.yaml")])
    await helm(["upgrade", release.name, chart, ...own, "--reset-values"])
    await isRolledOut()
    expect(await touch(await callerNow(), session)).toBe(counted + 1)
    counted++
  })

  test("leaves on uninstall nothing but what the notes announce", { timeout: 240_000 }, async () => {
    await runCommands(blockOf("docs/upgrade.md", "uninstall"))
    const isGone = async () => (await kubectl(["get", "pods", "-n", ownNamespace, "-o", "name"])) === ""
    await eventually(isGone, 120_000, "the Pods of operator and gateway are gone")
    const kept = (await contents(ownNamespace)).filter((name) => !name.startsWith("endpoint"))
    expect(kept).toEqual([
      "lease.coordination.k8s.io/reflow-gateways",
      "lease.coordination.k8s.io/reflow-operator",
      "secret/reflow-bootstrap-token",
      "secret/reflow-gateway-keys",
    ])
    for (const name of kept) expect(notes).toContain(name.split("/")[1])
    const kinds = new Set((await contents(instanceNamespace)).map((name) => name.split(/[./]/)[0]))
    expect([...kinds].sort()).toEqual(
      ["configmap", "endpoints", "endpointslice", "mcpinstance", "mcptarget", "pod", "secret", "service"].filter(
        (kind) => kinds.has(kind),
      ),
    )
    expect([...kinds]).toEqual(expect.arrayContaining(["mcpinstance", "mcptarget", "pod"]))
    const files = (await contents(instanceNamespace)).filter((name) => name.startsWith("configmap/"))
    for (const name of files) expect(name).toMatch(/^configmap\/reflow-bridge-[a-z2-7]{10}$/)
    expect(notes).toContain("reflow-bridge-DIGEST")
    expect(await shared()).toEqual([
      "customresourcedefinition.apiextensions.k8s.io/mcpinstances.mcp.reflow.io",
      "customresourcedefinition.apiextensions.k8s.io/mcptargets.mcp.reflow.io",
      `namespace/${instanceNamespace}`,
      `namespace/${ownNamespace}`,
    ])
    for (const name of await shared()) expect(notes).toContain(name.split("/")[1])
  })

  test("goes on with what was kept when it is installed again: target, token, server, session", {
    timeout: 240_000,
  }, async () => {
    await runCommands(install)
    await isRolledOut()
    expect(await bootstrapToken()).toBe(token)
    expect(await touch(await callerNow(), session)).toBe(counted + 1)
  })

  test("is gone altogether after the last commands of the notes", { timeout: 240_000 }, async () => {
    expect(lastCommands()).toBe(blockOf("docs/upgrade.md", "nothing left"))
    await runCommands(lastCommands())
    expect(await shared()).toEqual([])
  })
})
