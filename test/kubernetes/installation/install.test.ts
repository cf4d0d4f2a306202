/** docs/install.md from its first line on, and the instance of examples/instances by hand. */
import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import { dirname } from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { parse } from "yaml"
import { repositoryFile } from "../../support/reflow.ts"
import { cluster, kubectl, kubectlJson } from "../support/cluster.ts"
import { blockOf, runCommands } from "../support/commands.ts"
import { describeChart, helm, removeChart, settledVersions } from "../support/helm.ts"
import { ensureImages } from "../support/images.ts"
import {
  applyFolders,
  bootstrapToken,
  forgetKinds,
  forward,
  instanceNamespace,
  isRolledOut,
  makeRoom,
  ownNamespace,
} from "../support/install.ts"

type Found = {
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly uid: string
    readonly ownerReferences?: readonly Readonly<Record<string, unknown>>[]
  }
  readonly spec: Readonly<Record<string, unknown>>
  readonly status?: { readonly containerStatuses?: readonly { readonly restartCount: number }[] }
}

const get = async (namespace: string, ...what: readonly string[]): Promise<readonly Found[]> =>
  ((await kubectlJson(["get", ...what, "-n", namespace])) as { items: Found[] }).items

/** Everything that the three folders make, as JSON. */
const readFolders = () =>
  kubectl(["get", "-o", "json", ...["crd", "rbac", "manager"].flatMap((name) => ["-f", repositoryFile(name)])])

const programs = () => get(ownNamespace, "pods", "-l", "app.kubernetes.io/part-of=reflow-gateway")

beforeAll(async () => {
  await ensureImages(["gateway", "github", "notes"], cluster)
  await makeRoom()
  await forgetKinds()
}, 800_000)
// whatever fails in between, the files after this one find the kinds, without Helm's marks
afterAll(() => removeChart(ownNamespace, instanceNamespace), 400_000)

describe("kubectl apply -f crd/ -f rbac/ -f manager/", () => {
  test("makes every object on a cluster that knows none of them", async () => {
    const said = await applyFolders()
    expect(said.filter((line) => !line.endsWith(" created"))).toEqual([])
    const kinds = said.map((line) => line.split("/")[0])
    expect(kinds).toEqual(expect.arrayContaining(["customresourcedefinition.apiextensions.k8s.io", "namespace"]))
    expect(kinds).toEqual(expect.arrayContaining(["role.rbac.authorization.k8s.io", "deployment.apps"]))
  })

  test("installs an operator and two gateways that become available and never restart", {
    timeout: 360_000,
  }, async () => {
    await kubectl(["wait", "--for=condition=Available", "deployment", "--all", "-n", ownNamespace, "--timeout=150s"], {
      timeoutMs: 160_000,
    })
    await isRolledOut()
    const pods = await programs()
    expect(pods).toHaveLength(3)
    expect(pods.map(({ status }) => status?.containerStatuses?.map(({ restartCount }) => restartCount))).toEqual(
      pods.map(() => [0]),
    )
  })

  test("changes nothing when it is run again", { timeout: 240_000 }, async () => {
    const before = (await programs()).map(({ metadata }) => metadata.uid)
    const versions = await settledVersions(readFolders)
    const said = await applyFolders()
    // kubectl sends the selector of a PodDisruptionBudget anew each time and calls that «configured»
    const others = said.filter((line) => !line.startsWith("poddisruptionbudget"))
    expect(others.filter((line) => !line.endsWith(" unchanged"))).toEqual([])
    expect((await programs()).map(({ metadata }) => metadata.uid)).toEqual(before)
    expect(Object.keys(versions).length).toBeGreaterThan(15)
    expect(await settledVersions(readFolders)).toEqual(versions)
  })

  test("fits, says reflow check in both Pods", async () => {
    for (const role of ["operator", "gateway"]) {
      const run = ["reflow", "check", "--role", role, "--config", "/etc/reflow/reflow.yaml"]
      const said = await kubectl(["exec", "-n", ownNamespace, `deployment/reflow-${role}`, "--", ...run])
      expect(said.split("\n").filter((line) => line.startsWith("FAILED"))).toEqual([])
    }
  })

  test("lets the first administrator in, through kubectl port-forward", async () => {
    const host = await forward()
    const headers = { authorization: `Bearer ${await bootstrapToken()}` }
    const response = await fetch(`http://${host}/api/whoami`, { headers })
    expect(response.status).toBe(200)
    expect(await response.json()).toMatchObject({ identity: { subject: "bootstrap-admin", admin: true } })
  })
})

describe("a first target, as docs/install.md makes it", () => {
  const page = readFileSync(repositoryFile("docs/install.md"), "utf8")
  const block = (name: string): string =>
    new RegExp(`<!-- install: ${name} -->\n\`\`\`sh\n([\\s\\S]*?)\`\`\``).exec(page)?.[1] ?? "exit 1"

  test("is made and tried by the commands as they stand", async () => {
    expect(block("forward")).toBe("kubectl -n reflow-system port-forward svc/reflow-gateway 8080:80\n")
    const host = await forward()
    const script = `set -e\n${block("target").replaceAll("localhost:8080", host)}`
    const path = `${dirname(cluster.kubectl)}:${process.env.PATH}`
    const env = { ...process.env, PATH: path, KUBECONFIG: cluster.kubeconfig }
    const { stdout } = await promisify(execFile)("sh", ["-c", script], { env, timeout: 90_000 })
    const [made, tried] = stdout.trim().replace("}{", "}\n{").split("\n")
    expect(JSON.parse(made ?? "")).toMatchObject({ name: "notes", isolation_boundary: "per_user" })
    expect(JSON.parse(tried ?? "")).toMatchObject({ ok: true, started: true, server: { name: "notes" } })
  })

  test("is the object that the page shows", async () => {
    const [, shown = ""] = /by `kubectl apply`,[^`]*```yaml\n([\s\S]*?)```/.exec(page) ?? []
    const { spec } = (await get(instanceNamespace, "mcpt")).find(({ metadata }) => metadata.name === "notes") ?? {}
    expect(spec).toMatchObject(parse(shown).spec)
    await kubectl(["delete", "mcpt", "notes", "-n", instanceNamespace])
    await kubectl(["wait", "--for=delete", "mcpi", "--all", "-n", instanceNamespace, "--timeout=60s"])
    await expect.poll(() => get(instanceNamespace, "pods,services"), { timeout: 30_000 }).toEqual([])
  })
})

describe("an instance by hand, with its Secret", () => {
  const name = "github-user-abc123"
  let pod: Found | undefined
  let service: Found | undefined
  let uid = ""

  test("becomes Ready", async () => {
    await kubectl(["apply", "-f", repositoryFile("examples/instances/github.yaml")])
    const waited = await kubectl([
      "wait",
      "--for=condition=Ready",
      `mcpi/${name}`,
      "-n",
      instanceNamespace,
      "--timeout=100s",
    ])
    expect(waited).toContain("condition met")
    uid = ((await kubectlJson(["get", "mcpi", name, "-n", instanceNamespace])) as Found).metadata.uid
  })

  test("owns a Pod and a ClusterIP Service", async () => {
    const owned = (await get(instanceNamespace, "pods,services")).filter(({ metadata }) =>
      metadata.ownerReferences?.some((owner) => owner.uid === uid),
    )
    expect(owned.map(({ kind }) => kind).sort()).toEqual(["Pod", "Service"])
    pod = owned.find(({ kind }) => kind === "Pod")
    service = owned.find(({ kind }) => kind === "Service")
    const owner = { kind: "MCPInstance", name, uid, controller: true, blockOwnerDeletion: true }
    for (const each of owned) expect(each.metadata.ownerReferences).toEqual([expect.objectContaining(owner)])
    expect(service).toMatchObject({ metadata: { name }, spec: { type: "ClusterIP", ports: [{ port: 8080 }] } })
  })

  test("has the Secret's values in the environment of its server", async () => {
    const script = "process.stdout.write(require('node:fs').readFileSync('/proc/1/environ'))"
    const run = ["exec", pod?.metadata.name ?? "", "-n", instanceNamespace, "--", "node", "-e", script]
    const environment = (await kubectl(run)).split("\0")
    expect(environment).toContain("GITHUB_TOKEN=put-a-token-here")
    expect(environment).toContain("PORT=8080")
  })

  test("runs, as operator and gateways do, in a namespace that refuses Pods below the standard `restricted`", async () => {
    const create = (namespace: string, spec: unknown, labels: unknown = {}) => {
      const copy = { apiVersion: "v1", kind: "Pod", metadata: { generateName: "copy-", namespace, labels }, spec }
      return kubectl(["create", "--dry-run=server", "-f", "-", "-o", "name"], { input: JSON.stringify(copy) })
    }
    let copied = 0
    for (const namespace of [ownNamespace, instanceNamespace]) {
      const plain = { containers: [{ name: "plain", image: "ghcr.io/org/plain:1" }] }
      await expect(create(namespace, plain)).rejects.toThrow(/violates PodSecurity "restricted:latest"/)
      for (const running of await get(namespace, "pods")) {
        expect(await create(namespace, running.spec)).toMatch(/^pod\/copy-/)
        copied += 1
      }
    }
    expect(copied).toBe(4)
  })

  test("is told by kubectl get mcpi", async () => {
    const lines = (await kubectl(["get", "mcpi", "-n", instanceNamespace])).trimEnd().split("\n")
    const [head, row, ...more] = lines.map((line) => line.split(/ {2,}/))
    expect(more).toEqual([])
    expect(head).toEqual(["NAME", "TARGET", "SUBJECT", "PHASE", "REASON", "LAST USED", "AGE"])
    expect([row?.slice(0, 5), row?.at(-1)]).toEqual([
      [name, "github", "user:abc123", "Ready", "Ready"],
      expect.stringMatching(/^\d+[sm]/),
    ])
  })

  test("has each field of its spec described by kubectl explain", async () => {
    const text = await kubectl(["explain", "mcpi.spec"])
    const fields = [...text.matchAll(/^ {2}(\w+)\t<.*\n +(\S.*)/gm)]
    const described = Object.fromEntries(fields.map(([, field = "", words]) => [field, words]))
    const { spec } = (await kubectlJson(["get", "mcpi", name, "-n", instanceNamespace])) as Found
    expect(Object.keys(described)).toEqual(expect.arrayContaining(Object.keys(spec)))
    expect(Object.entries(described).filter(([, words]) => words === "<no description>")).toEqual([])
  })

  test("takes Pod and Service with it when it is deleted", async () => {
    await kubectl(["delete", "mcpi", name, "-n", instanceNamespace])
    const gone = [`pod/${pod?.metadata.name}`, `service/${service?.metadata.name}`]
    await kubectl(["wait", "--for=delete", ...gone, "-n", instanceNamespace, "--timeout=60s"])
    expect(await get(instanceNamespace, "pods,services")).toEqual([])
  })
})

describeChart("helm install --take-ownership, as docs/upgrade.md has it", () => {
  test("takes over what kubectl has made, and keeps the servers that run", { timeout: 300_000 }, async () => {
    await kubectl(["apply", "-f", repositoryFile("examples/instances/github.yaml")])
    const ready = ["wait", "--for=condition=Ready", "mcpi/github-user-abc123", "-n", instanceNamespace]
    await kubectl([...ready, "--timeout=100s"], { timeoutMs: 110_000 })
    const before = await get(instanceNamespace, "pods,services,secrets,mcpi")
    const installed = await programs()
    await runCommands(blockOf("docs/upgrade.md", "take over"))
    await isRolledOut()
    const uids = (found: readonly Found[]) => found.map(({ metadata }) => metadata.uid).sort()
    expect(uids(await get(instanceNamespace, "pods,services,secrets,mcpi"))).toEqual(uids(before))
    expect(uids(await programs())).toEqual(uids(installed))
    const manifest = await helm(["get", "manifest", "reflow-operator", "--namespace", ownNamespace])
    const owner = 'jsonpath={range .items[*]}{.metadata.annotations.meta\\.helm\\.sh/release-name}{"\\n"}{end}'
    const owned = (await kubectl(["get", "-f", "-", "-o", owner], { input: manifest })).trim().split("\n")
    expect(owned.length).toBeGreaterThan(15)
    expect(new Set(owned)).toEqual(new Set(["reflow-operator"]))
  })
})
