/** What the chart has by default, in other namespaces, and of a manifest that is added. Only one test asks the cluster. */
import { globSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { beforeAll, expect, test } from "vitest"
import { parse, stringify } from "yaml"
import { repositoryFile } from "../support/reflow.ts"
import {
  chart,
  copyChart,
  describeChart,
  findObject,
  helm,
  namesOf,
  objectsOf,
  type Rendered,
  render,
} from "./support/helm.ts"

const nameOf = (object: Rendered): string => namesOf([object])[0] ?? ""

const helmLabels = ["helm.sh/chart", "app.kubernetes.io/managed-by", "app.kubernetes.io/instance"]
const helmAnnotations = ["helm.sh/resource-policy"]

/** Without these keys; undefined if nothing is left. */
const without = (fields: Readonly<Record<string, string>> | undefined, keys: readonly string[]) => {
  const rest = Object.entries(fields ?? {}).filter(([key]) => !keys.includes(key))
  return rest.length === 0 ? undefined : Object.fromEntries(rest)
}

/** By name, without Helm's own labels; a configuration file by what stands in it. */
const plain = (objects: readonly Rendered[]): Readonly<Record<string, unknown>> =>
  Object.fromEntries(
    objects.map((object) => {
      const { labels, annotations, ...metadata } = object.metadata
      const data = object.data?.["reflow.yaml"]
      return [
        nameOf(object),
        {
          ...object,
          metadata: {
            ...metadata,
            labels: without(labels, helmLabels),
            annotations: without(annotations, helmAnnotations),
          },
          data: data === undefined ? object.data : { ...object.data, "reflow.yaml": parse(data) },
        },
      ]
    }),
  )

const folders = objectsOf(
  globSync(repositoryFile("{crd,rbac,manager}/*.yaml"))
    .map((path) => readFileSync(path, "utf8"))
    .join("\n---\n"),
)

const publicUrl = { config: { gateway: { public_url: "https://mcp.example.com:8443" } } }

describeChart("with its defaults the chart", () => {
  test("has the objects of crd/, rbac/ and manager/, field by field, Helm's own labels aside", async () => {
    const rendered = await render()
    expect(folders.length).toBeGreaterThan(15)
    expect(namesOf(rendered)).toEqual(namesOf(folders))
    expect(plain(rendered)).toEqual(plain(folders))
  })

  test("has Helm's labels on each object, and keeps kinds and namespaces", async () => {
    for (const object of await render()) {
      expect(object.metadata.labels, nameOf(object)).toMatchObject({ "app.kubernetes.io/instance": "reflow-operator" })
      const isKept = ["CustomResourceDefinition", "Namespace"].includes(object.kind)
      expect(object.metadata.annotations?.["helm.sh/resource-policy"], nameOf(object)).toBe(isKept ? "keep" : undefined)
    }
  })

  test("differs as soon as a value does", async () => {
    const expected = plain(folders)
    for (const values of [{ gateway: { replicas: 3 } }, { image: { tag: "1.2.3" } }, publicUrl])
      expect(plain(await render({ values }))).not.toEqual(expected)
  })

  test("is accepted by helm lint, strictly", async () => {
    expect(await helm(["lint", "--strict", chart, "--namespace", "reflow-system"])).toContain("0 chart(s) failed")
  })
})

describeChart("in other namespaces the chart", () => {
  test("names neither of the two that it has by default", async () => {
    const objects = await render({ namespace: "own-ns", values: { namespaces: { instances: "their-ns" } } })
    expect(namesOf(objects)).toEqual(
      namesOf(folders)
        .map((name) =>
          name
            .replace(" reflow-system/", " own-ns/")
            .replace(" reflow/", " their-ns/")
            .replace("/reflow-system", "/own-ns")
            .replace(/^Namespace \/reflow$/, "Namespace /their-ns"),
        )
        .sort(),
    )
    const text = JSON.stringify(objects.filter(({ kind }) => kind !== "CustomResourceDefinition"))
    expect(text).not.toContain("reflow-system")
    expect(text).not.toMatch(/"(namespace|kubernetes\.io\/metadata\.name)":"reflow"/)
    const config = parse(findObject(objects, "ConfigMap", "reflow").data?.["reflow.yaml"] ?? "")
    expect(config.kubernetes.namespace).toBe("their-ns")
    expect(config.gateway.public_url).toBe("http://reflow-gateway.own-ns.svc")
  })

  test("keeps both apart, even where each has the name of the other by default", async () => {
    const objects = await render({ namespace: "reflow", values: { namespaces: { instances: "reflow-system" } } })
    const swapped = namesOf(folders).map((name) =>
      name.replace(/(?<=[ /])reflow(-system)?(?=\/|$)/, (found) => (found === "reflow" ? "reflow-system" : "reflow")),
    )
    const isPlaced = (name: string): boolean => !/^(Namespace|Custom)/.test(name)
    expect(namesOf(objects).filter(isPlaced)).toEqual(swapped.filter(isPlaced).sort())
    const binding = objects.find(
      ({ kind, metadata }) => kind === "RoleBinding" && metadata.namespace === "reflow-system",
    )
    expect(binding?.subjects?.[0]?.namespace).toBe("reflow")
  })

  test("has no kinds and no namespaces where others own them", async () => {
    const objects = await render({ values: { crds: { install: false }, namespaces: { create: false } } })
    expect(namesOf(objects)).toEqual(namesOf(folders).filter((name) => !/^(Custom|Namespace )/.test(name)))
  })

  test("leaves namespaces alone that are there and not its own, and makes those that are not", async () => {
    const flags = ["--namespace", "reflow-not-there", "--set", "namespaces.instances=default,crds.install=false"]
    const objects = await helm(["template", "reflow-operator", chart, ...flags, "--skip-tests", "--dry-run=server"])
    expect(
      objectsOf(objects)
        .filter(({ kind }) => kind === "Namespace")
        .map(nameOf),
    ).toEqual(["Namespace /reflow-not-there"])
  })
})

describeChart("a manifest that is added to manager/", () => {
  const metadata = { labels: { "app.kubernetes.io/part-of": "reflow-gateway" } }
  const from = { "kubernetes.io/metadata.name": "reflow-system" }
  const open = { to: [{ ipBlock: { cidr: "0.0.0.0/0", except: ["10.0.0.0/8"] } }] }
  const open6 = { to: [{ ipBlock: { cidr: "2000::/3", except: ["2002::/16"] } }] }
  const added = [
    {
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: { ...metadata, name: "added", namespace: "reflow" },
      spec: { ingress: [{ from: [{ namespaceSelector: { matchLabels: from } }] }], egress: [open, open6] },
    },
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { ...metadata, name: "added", namespace: "reflow-system" },
      spec: {},
    },
  ]
  let chartWith = ""
  beforeAll(async () => {
    chartWith = await copyChart({ "Chart.yaml": (text) => text.replace("version: 0.1.0", "version: 0.1.1") })
    writeFileSync(join(chartWith, "files/manager/90-added.yaml"), added.map((each) => stringify(each)).join("---\n"))
  })

  test("comes along without a line of template, in the namespaces of the release", async () => {
    const objects = await render({
      from: chartWith,
      namespace: "own-ns",
      values: { namespaces: { instances: "theirs" } },
    })
    expect(findObject(objects, "Service", "added").metadata.namespace).toBe("own-ns")
    const policy = findObject(objects, "NetworkPolicy", "added")
    expect(policy.metadata.namespace).toBe("theirs")
    expect(policy.spec.ingress[0].from[0].namespaceSelector.matchLabels).toEqual({
      "kubernetes.io/metadata.name": "own-ns",
    })
  })

  test("keeps Pods from the networks of the cluster, each family where it is opened", async () => {
    const cluster_cidrs = ["203.0.113.0/24", "fd00::/8", "2001:db8::/32"]
    const objects = await render({ from: chartWith, values: { config: { kubernetes: { cluster_cidrs } } } })
    const { egress } = findObject(objects, "NetworkPolicy", "added").spec
    expect(egress[0].to[0].ipBlock.except).toEqual(["10.0.0.0/8", "203.0.113.0/24"])
    // an exception outside of what is opened would be refused by the API server
    expect(egress[1].to[0].ipBlock.except).toEqual(["2002::/16", "2001:db8::/32"])
  })

  test("is left out if it is a NetworkPolicy and something else makes them", async () => {
    const objects = await render({ from: chartWith, values: { networkPolicies: { enabled: false } } })
    expect(objects.filter(({ kind }) => kind === "NetworkPolicy")).toEqual([])
    expect(findObject(objects, "Service", "added").spec).toEqual({})
  })
})

describeChart("the operator alone", () => {
  test("has nothing of the gateway", async () => {
    const objects = await render({ values: { gateway: { enabled: false }, serviceMonitor: { enabled: true } } })
    expect(objects.filter(({ metadata }) => metadata.name.includes("gateway"))).toEqual([])
    expect(namesOf(objects)).toEqual(expect.arrayContaining(["Deployment reflow-system/reflow-operator"]))
    expect(namesOf(objects)).toEqual(expect.arrayContaining(["Role reflow/reflow-operator"]))
  })
})
