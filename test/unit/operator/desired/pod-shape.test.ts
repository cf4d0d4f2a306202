import { describe, expect, test } from "vitest"
import type { Pod } from "../../../../src/api/kinds/pod.ts"
import { podShapes } from "../../../../src/api/pod-shapes.ts"
import { desiredPod } from "../../../../src/operator/desired/pod.ts"
import { podSpecFields } from "../../../../src/operator/desired/pod-fields.ts"
import { shapeFaults } from "../../../../src/operator/desired/pod-shape.ts"
import { anInstance } from "../../../support/build/instance.ts"
import { someSettings } from "../../../support/build/settings.ts"

const pod = desiredPod({
  instance: anInstance({ spec: { healthPath: "/health", env: [{ name: "A", value: "b" }] } }),
  name: "one",
  settings: someSettings(),
})

type Fields = Readonly<Record<string, unknown>>

const withSpec = (more: Fields) => shapeFaults({ ...pod, spec: { ...pod.spec, ...more } } as Pod)
const withContainer = (more: Fields) => withSpec({ containers: [{ ...pod.spec.containers[0], ...more }] })
const tmp = { name: "tmp", emptyDir: {} }

test("our own Pods have the shape of Kubernetes", () => {
  expect(shapeFaults(pod)).toEqual([])
})

test("a Pod with much of what templates may set has it, too", () => {
  const term = { labelSelector: { matchLabels: { a: "b" } }, topologyKey: "kubernetes.io/hostname" }
  const faults = withSpec({
    nodeSelector: { "topology.kubernetes.io/zone": "eu-1a", empty: "" },
    tolerations: [{ key: "pool", operator: "Exists", effect: "NoSchedule" }, { operator: "Exists" }],
    affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term] } },
    topologySpreadConstraints: [{ maxSkew: 1, topologyKey: "zone", whenUnsatisfiable: "DoNotSchedule" }],
    volumes: [
      tmp,
      { name: "cache", emptyDir: { sizeLimit: "1Gi", medium: "Memory" } },
      { name: "config", configMap: { name: "x", items: [{ key: "a", path: "b" }] } },
      { name: "bare" },
    ],
    dnsPolicy: "None",
    dnsConfig: { nameservers: ["10.0.0.1"], options: [{ name: "ndots", value: "2" }] },
    overhead: { cpu: 1 },
    hostUsers: false,
    workloadRef: { name: "w" },
    containers: [
      {
        ...pod.spec.containers[0],
        env: [
          { name: "NODE", valueFrom: { fieldRef: { fieldPath: "spec.nodeName" } } },
          { name: "CPU", valueFrom: { resourceFieldRef: { resource: "limits.cpu", divisor: "1m" } } },
        ],
        volumeMounts: [
          { name: "tmp", mountPath: "/tmp" },
          { name: "cache", mountPath: "/cache", readOnly: true },
        ],
        resources: { limits: { cpu: 1, memory: "1Gi" }, claims: [{ name: "gpu" }] },
        livenessProbe: { grpc: { port: 8080 } },
      },
    ],
  })
  expect(faults).toEqual([])
})

describe("the fault is told of", () => {
  test.each<[string, readonly string[], string]>([
    [
      "a numeric node selector",
      withSpec({ nodeSelector: { pool: 1 } }),
      "spec.nodeSelector.pool must be text, and is a number",
    ],
    [
      "a node selector that is a list",
      withSpec({ nodeSelector: ["a"] }),
      "spec.nodeSelector must be an object, and is a list",
    ],
    [
      "a node selector that is no label",
      withSpec({ nodeSelector: { pool: "a b" } }),
      "spec.nodeSelector.pool must have at most 63 characters of A-Z, a-z, 0-9, '-', '_' and '.', and is 'a b'",
    ],
    [
      "a label that is no text",
      shapeFaults({ ...pod, metadata: { ...pod.metadata, labels: { a: true } } } as unknown as Pod),
      "metadata.labels.a must be text, and is a boolean",
    ],
    [
      "a mount without a volume",
      withContainer({ volumeMounts: [{ name: "cache", mountPath: "/cache" }] }),
      "spec.containers[0].volumeMounts[0].name is 'cache', and spec.volumes has no such volume",
    ],
    [
      "a mount without a path",
      withContainer({ volumeMounts: [{ name: "tmp" }] }),
      "spec.containers[0].volumeMounts[0].mountPath is required",
    ],
    [
      "two mounts in one place",
      withContainer({ volumeMounts: [tmp, tmp].map(({ name }) => ({ name, mountPath: "/tmp" })) }),
      "spec.containers[0].volumeMounts: '/tmp' is there twice",
    ],
    ["a volume without a name", withSpec({ volumes: [tmp, { emptyDir: {} }] }), "spec.volumes[1].name is required"],
    [
      "a volume of the wrong type",
      withSpec({ volumes: [tmp, { name: "x", emptyDir: true }] }),
      "spec.volumes[1].emptyDir must be an object, and is a boolean",
    ],
    [
      "a volume with a misspelt field",
      withSpec({ volumes: [tmp, { name: "x", emptyDir: { sizelimit: "1Gi" } }] }),
      "spec.volumes[1].emptyDir.sizelimit is no field of Kubernetes; did you mean sizeLimit?",
    ],
    [
      "a volume with two sources",
      withSpec({ volumes: [tmp, { name: "x", emptyDir: {}, configMap: { name: "y" } }] }),
      "spec.volumes[1] has several sources, emptyDir and configMap: a volume has one",
    ],
    ["two volumes of one name", withSpec({ volumes: [tmp, tmp] }), "spec.volumes: 'tmp' is there twice"],
    [
      "a volume's size that is none",
      withSpec({ volumes: [{ name: "tmp", emptyDir: { sizeLimit: "much" } }] }),
      "spec.volumes[0].emptyDir.sizeLimit must be a quantity such as 100m or 128Mi",
    ],
    [
      "a text where a number is due",
      withContainer({ ports: [{ containerPort: "8080" }] }),
      "spec.containers[0].ports[0].containerPort must be a whole number",
    ],
    [
      "a fraction where a whole number is due",
      withSpec({ terminationGracePeriodSeconds: 1.5 }),
      "spec.terminationGracePeriodSeconds must be a whole number, and is a number",
    ],
    [
      "a port that there is not",
      withContainer({ ports: [{ containerPort: 70_000 }] }),
      "spec.containers[0].ports[0].containerPort must be from 1 to 65535, and is 70000",
    ],
    [
      "a number in the environment",
      withContainer({ env: [{ name: "A", value: 1 }] }),
      "spec.containers[0].env[0].value must be text, and is a number",
    ],
    ["a container without an image", withContainer({ image: undefined }), "spec.containers[0].image is required"],
    [
      "a probe that asks twice",
      withContainer({ livenessProbe: { tcpSocket: { port: 1 }, exec: { command: ["a"] } } }),
      "spec.containers[0].livenessProbe must have one of exec, httpGet, tcpSocket, grpc, and has 2",
    ],
    [
      "an effect that there is not",
      withSpec({ tolerations: [{ key: "a", operator: "Exists", effect: "Never" }] }),
      "spec.tolerations[0].effect must be one of NoSchedule, PreferNoSchedule, NoExecute, and is 'Never'",
    ],
    [
      "a list below what the table of fields leaves to the template",
      withSpec({ affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [] } } }),
      "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution must be an object, and is a list",
    ],
  ])("%s", (_, faults, told) => {
    expect(faults).toEqual([told])
  })

  test("a key that would garble the sentence, quoted and cut", () => {
    const [fault = ""] = withSpec({ nodeSelector: { [`a\n${"b".repeat(1_000)}`]: 1 } })
    expect(fault).toMatch(/^spec\.nodeSelector\["a\\nb{62}"\] must be text/)
  })
})

test("the shapes know every field that the table of decisions knows, but for one of another release", () => {
  const line = (name: string) => new RegExp(`^${name} (.*)$`, "m").exec(podShapes)?.[1]?.split(/:\S+ ?|!/) ?? []
  const unknown = Object.keys(podSpecFields).filter((name) => !line("PodSpec").includes(name))
  expect(unknown).toEqual(["workloadRef"])
})
