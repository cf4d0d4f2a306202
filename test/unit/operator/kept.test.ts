import { describe, expect, test } from "vitest"
import { toKept } from "../../../src/api/kinds/kept.ts"
import { keptPodKind, keptServiceKind } from "../../../src/operator/kept.ts"

const owner = {
  apiVersion: "mcp.reflow.io/v1alpha1",
  kind: "MCPInstance",
  name: "files-user-a",
  uid: "uid-a",
  controller: true,
  blockOwnerDeletion: true,
}

/** What is kept of an object's metadata. */
const keptMetadata = {
  name: "files-user-a-x",
  namespace: "reflow",
  uid: "uid-x",
  resourceVersion: "7",
  creationTimestamp: "2026-01-01T00:00:00Z",
  labels: { "mcp.reflow.io/instance": "files-user-a", app: "x" },
  annotations: { "mcp.reflow.io/inputs-hash": "abc" },
  ownerReferences: [owner],
}

/** Metadata as an API server sends it. */
const metadata = {
  ...keptMetadata,
  generateName: "files-",
  generation: 1,
  finalizers: ["example.com/later"],
  annotations: { ...keptMetadata.annotations, "cni.example.com/addresses": "198.18.0.7" },
  managedFields: [{ manager: "kubelet", fieldsV1: { "f:status": {} } }],
}

const keptStatus = {
  name: "mcp",
  ready: false,
  started: false,
  restartCount: 2,
  state: { waiting: { reason: "CrashLoopBackOff", message: "back-off" } },
  lastState: {
    terminated: { exitCode: 1, reason: "Error", message: "no", startedAt: "2026-01-01T00:00:01Z" },
  },
}

/** A container's status as the kubelet reports it. */
const containerStatus = {
  ...keptStatus,
  image: "example.com/files:1",
  imageID: "example.com/files@sha256:0",
  containerID: "containerd://0",
  resources: { limits: { memory: "1Gi" } },
  lastState: {
    terminated: {
      ...keptStatus.lastState.terminated,
      startedAt: "2026-01-01T00:00:01Z",
      finishedAt: "2026-01-01T00:00:02Z",
      containerID: "containerd://0",
    },
  },
}

const condition = { type: "Ready", status: "False", reason: "ContainersNotReady", message: "containers with unready" }

const keptContainer = {
  name: "mcp",
  command: ["files"],
  args: ["--root", "$(ROOT)"],
  envFrom: [{ secretRef: { name: "files-user-a-secret" } }],
  volumeMounts: [{ name: "tmp", mountPath: "/tmp" }],
}

const pod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata,
  spec: {
    nodeName: "node1",
    readinessGates: [{ conditionType: "example.com/gate" }],
    containers: [{ ...keptContainer, image: "example.com/files:1", env: [{ name: "PORT", value: "8080" }], ports: [] }],
    initContainers: [{ name: "mesh", image: "mesh", restartPolicy: "Always" }],
    volumes: [
      { name: "tmp", emptyDir: {} },
      { name: "reflow-bridge", image: { reference: "bridge:1", pullPolicy: "IfNotPresent" } },
    ],
    tolerations: [{ key: "node.kubernetes.io/not-ready", effect: "NoExecute" }],
    securityContext: { runAsUser: 65_532 },
  },
  status: {
    phase: "Running",
    podIP: "198.18.0.7",
    podIPs: [{ ip: "198.18.0.7" }],
    hostIP: "198.18.0.1",
    qosClass: "Burstable",
    conditions: [{ ...condition, lastProbeTime: null, observedGeneration: 1 }],
    containerStatuses: [containerStatus],
    initContainerStatuses: [{ ...containerStatus, state: { running: { startedAt: "2026-01-01T00:00:01Z" } } }],
  },
}

describe("of a Pod", () => {
  const kept = toKept(keptPodKind, pod)

  test("the operator keeps what it reads, and nothing else", () => {
    expect(kept).toEqual({
      apiVersion: "v1",
      kind: "Pod",
      metadata: keptMetadata,
      spec: {
        nodeName: "node1",
        readinessGates: pod.spec.readinessGates,
        containers: [keptContainer],
        initContainers: [{ name: "mesh", restartPolicy: "Always" }],
        volumes: [{ name: "reflow-bridge", image: { reference: "bridge:1" } }],
      },
      status: {
        phase: "Running",
        podIP: "198.18.0.7",
        conditions: [condition],
        containerStatuses: [keptStatus],
        initContainerStatuses: [{ ...keptStatus, state: { running: { startedAt: "2026-01-01T00:00:01Z" } } }],
      },
    })
  })

  test("it is frozen, and what was kept once is kept again", () => {
    expect(Object.isFrozen(kept.status?.containerStatuses?.[0]?.state)).toBe(true)
    expect(toKept(keptPodKind, kept)).toEqual(kept)
  })

  test("a new Pod has no fields that it was not sent with", () => {
    const bare = { apiVersion: "v1", kind: "Pod", metadata: { name: "x" }, spec: { containers: [{ name: "mcp" }] } }
    expect(JSON.stringify(toKept(keptPodKind, bare))).toBe(JSON.stringify({ ...bare }))
    expect(Object.keys(toKept(keptPodKind, bare))).toEqual(["apiVersion", "kind", "metadata", "spec"])
  })
})

test("of a Service the operator keeps address, selector and ports", () => {
  const spec = {
    clusterIP: "198.19.0.9",
    selector: { "mcp.reflow.io/pod": "files-user-a-x" },
    ports: [{ name: "mcp", port: 8080, targetPort: 8080, protocol: "TCP" }],
  }
  const more = { type: "ClusterIP", clusterIPs: ["198.19.0.9"], ipFamilies: ["IPv4"], sessionAffinity: "None" }
  const service = { metadata, spec: { ...spec, ...more }, status: { loadBalancer: {} } }
  expect(toKept(keptServiceKind, service)).toEqual({ apiVersion: "v1", kind: "Service", metadata: keptMetadata, spec })
})
