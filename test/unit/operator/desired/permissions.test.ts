import { describe, expect, test } from "vitest"
import type { Pod } from "../../../../src/api/kinds/pod.ts"
import { podFreedoms } from "../../../../src/config/schema.ts"
import type { PodFreedom } from "../../../../src/operator/desired/field-rule.ts"
import { takenBy } from "../../../../src/operator/desired/permissions.ts"
import { desiredPod } from "../../../../src/operator/desired/pod.ts"
import { anInstance } from "../../../support/build/instance.ts"
import { someSettings } from "../../../support/build/settings.ts"

type Change = Readonly<Record<string, unknown>>
const instance = anInstance({
  spec: { secretName: "own-secret", imagePullSecrets: ["registry"], podTemplates: [{ name: "sample/any" }] },
})

/** A Pod as a template could make it: fields of its spec, and of its container. */
const changed =
  (spec: Change = {}, container: Change = {}) =>
  (pod: Pod): Pod =>
    ({
      ...pod,
      spec: { ...pod.spec, ...spec, containers: pod.spec.containers.map((each) => ({ ...each, ...container })) },
    }) as Pod

const render = (template: (pod: Pod) => Pod, allow: readonly PodFreedom[] = []): Pod =>
  desiredPod({ instance, name: "files-user-a-xyz23", settings: someSettings({ template, allow_in_pods: [...allow] }) })

const refusal = (template: (pod: Pod) => Pod, allow: readonly PodFreedom[] = []): string => {
  try {
    render(template, allow)
    return "allowed"
  } catch (error) {
    return String(error)
  }
}

const volume = (source: Change) => ({ volumes: [{ name: "v", ...source }] })

/** What templates may try, and the freedom that it takes. */
const tries: readonly [string, PodFreedom, (pod: Pod) => Pod][] = [
  ["a folder of the node", "hostPath", changed(volume({ hostPath: { path: "/" } }))],
  ["the node's network", "hostNetwork", changed({ hostNetwork: true })],
  [
    "a probe of another host by the node",
    "hostNetwork",
    changed({}, { readinessProbe: { httpGet: { host: "169.254.169.254", port: 80 } } }),
  ],
  [
    "a request of the node to another host at the end",
    "hostNetwork",
    changed({}, { lifecycle: { preStop: { httpGet: { host: "169.254.169.254", port: 80 } } } }),
  ],
  ["the node's processes", "hostPID", changed({ hostPID: true })],
  ["other containers' processes", "hostPID", changed({ shareProcessNamespace: true })],
  ["the node's IPC", "hostIPC", changed({ hostIPC: true })],
  ["a port of the node", "hostPorts", changed({}, { ports: [{ containerPort: 1, hostPort: 80 }] })],
  ["a privileged container", "privileged", changed({}, { securityContext: { privileged: true } })],
  ["an unmasked /proc", "privileged", changed({}, { securityContext: { procMount: "Unmasked" } })],
  [
    "a container without AppArmor",
    "privileged",
    changed({}, { securityContext: { appArmorProfile: { type: "Unconfined" } } }),
  ],
  ["a Pod without AppArmor", "privileged", changed({ securityContext: { appArmorProfile: { type: "Unconfined" } } })],
  [
    "a container without AppArmor, by annotation",
    "privileged",
    (pod) => ({
      ...pod,
      metadata: {
        ...pod.metadata,
        annotations: { "container.apparmor.security.beta.kubernetes.io/mcp": "unconfined" },
      },
    }),
  ],
  ["SELinux options", "privileged", changed({ securityContext: { seLinuxOptions: { type: "spc_t" } } })],
  [
    "a container of another SELinux type",
    "privileged",
    changed({}, { securityContext: { seLinuxOptions: { type: "t" } } }),
  ],
  [
    "a Windows container of the host",
    "privileged",
    changed({}, { securityContext: { windowsOptions: { hostProcess: true } } }),
  ],
  ["a host process of Windows", "privileged", changed({ securityContext: { windowsOptions: { hostProcess: true } } })],
  ["a capability", "capabilities", changed({}, { securityContext: { capabilities: { add: ["NET_ADMIN"] } } })],
  ["a sysctl", "capabilities", changed({ securityContext: { sysctls: [{ name: "kernel.msgmax", value: "1" }] } })],
  ["a service account", "serviceAccountToken", changed({ serviceAccountName: "admin" })],
  [
    "a token in a volume",
    "serviceAccountToken",
    changed(volume({ projected: { sources: [{ serviceAccountToken: {} }] } })),
  ],
  [
    "a certificate in a volume",
    "serviceAccountToken",
    changed(volume({ projected: { sources: [{ podCertificate: { signerName: "a/b" } }] } })),
  ],
  ["another's Secret for the registry", "otherSecrets", changed({ imagePullSecrets: [{ name: "bobs" }] })],
  [
    "another's Secret for storage",
    "otherSecrets",
    changed(volume({ csi: { driver: "d", nodePublishSecretRef: { name: "bobs" } } })),
  ],
  [
    "another's Secret for a share",
    "otherSecrets",
    changed(volume({ azureFile: { secretName: "bobs", shareName: "s" } })),
  ],
  ["another's Secret as environment", "otherSecrets", changed({}, { envFrom: [{ secretRef: { name: "bobs" } }] })],
  [
    "a key of another's Secret",
    "otherSecrets",
    changed({}, { env: [{ name: "A", valueFrom: { secretKeyRef: { name: "bobs", key: "k" } } }] }),
  ],
  ["a ConfigMap as environment", "otherSecrets", changed({}, { envFrom: [{ configMapRef: { name: "c" } }] })],
  [
    "a key of a ConfigMap",
    "otherSecrets",
    changed({}, { env: [{ name: "A", valueFrom: { configMapKeyRef: { name: "c", key: "k" } } }] }),
  ],
  ["another's Secret in a volume", "otherSecrets", changed(volume({ secret: { secretName: "bobs" } }))],
  [
    "another's Secret in a projected volume",
    "otherSecrets",
    changed(volume({ projected: { sources: [{ secret: { name: "bobs" } }] } })),
  ],
  [
    "a second container",
    "otherContainers",
    (pod) =>
      changed({})({
        ...pod,
        spec: { ...pod.spec, containers: [...pod.spec.containers, { name: "side", image: "x" }] },
      }),
  ],
  ["a container before it", "otherContainers", changed({ initContainers: [{ name: "init", image: "x" }] })],
  ["another name for its container", "otherContainers", changed({}, { name: "other" })],
  [
    "names of folders that are made of credentials",
    "otherVolumes",
    changed({}, { volumeMounts: [{ name: "tmp", mountPath: "/tmp", subPathExpr: "$(TOKEN)" }] }),
  ],
  ["a device of blocks", "otherVolumes", changed({}, { volumeDevices: [{ name: "v", devicePath: "/dev/x" }] })],
  [
    "mounts that reach the node",
    "privileged",
    changed({}, { volumeMounts: [{ name: "tmp", mountPath: "/tmp", mountPropagation: "Bidirectional" }] }),
  ],
  ["a folder that the node fetches by git", "privileged", changed(volume({ gitRepo: { repository: "x" } }))],
  ["a node by its name", "nodeName", changed({ nodeName: "control-plane" })],
  ["another scheduler", "scheduling", changed({ schedulerName: "mine" })],
  ["a group of Pods that is scheduled together", "scheduling", changed({ workloadRef: { name: "w", podGroup: "g" } })],
  [
    "nodes for itself",
    "scheduling",
    changed({
      affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: "zone" }] } },
    }),
  ],
  ["a class of priority", "priority", changed({ priorityClassName: "system-node-critical" })],
  ["a priority", "priority", changed({ priority: 2_000_001_000 })],
  ["the right to put others off", "priority", changed({ preemptionPolicy: "PreemptLowerPriority" })],
  ["nodes with whichever taint", "tolerations", changed({ tolerations: [{ operator: "Exists" }] })],
  ["nodes with whichever taint, by an empty key", "tolerations", changed({ tolerations: [{ key: "" }] })],
  [
    "nodes of the control plane",
    "tolerations",
    changed({ tolerations: [{ key: "x" }, { key: "node-role.kubernetes.io/control-plane", operator: "Exists" }] }),
  ],
  [
    "nodes that are being emptied",
    "tolerations",
    changed({ tolerations: [{ key: "node.kubernetes.io/unschedulable", operator: "Exists" }] }),
  ],
  ["nodes of the system", "tolerations", changed({ tolerations: [{ key: "CriticalAddonsOnly", operator: "Exists" }] })],
  ["a device", "resourceClaims", changed({ resourceClaims: [{ name: "gpu", resourceClaimName: "g" }] })],
  ["a device in its container", "resourceClaims", changed({}, { resources: { claims: [{ name: "gpu" }] } })],
  ["a further group", "supplementalGroups", changed({ securityContext: { supplementalGroups: [1000] } })],
  ["the group of root", "rootGroup", changed({ securityContext: { supplementalGroups: [1000, 0] } })],
  ["a claim of storage", "otherVolumes", changed(volume({ persistentVolumeClaim: { claimName: "c" } }))],
  ["a ConfigMap", "otherVolumes", changed(volume({ configMap: { name: "c" } }))],
]

describe("a pod template", () => {
  test.each(tries)("gets %s only where kubernetes.allow_in_pods has %s", (_name, freedom, template) => {
    expect(refusal(template)).toMatch(new RegExp(`kubernetes.allow_in_pods does not allow: (\\w+, )*${freedom}\\b`))
    const allowed = [...new Set([...takenBy(template(render((pod) => pod)), instance).permissions])]
    expect(allowed).toContain(freedom)
    expect(takenBy(render(template, allowed), instance).permissions, "what is allowed is in the Pod").toContain(freedom)
    for (const one of allowed) {
      expect(
        refusal(
          template,
          allowed.filter((each) => each !== one),
        ),
      ).toContain(`does not allow: ${one}`)
    }
  })
  test("is asked about every freedom that the configuration knows", () => {
    expect(new Set(tries.map(([, freedom]) => freedom))).toEqual(new Set(podFreedoms))
  })
  test("may choose nodes, runtime, labels, the own Secret and empty folders without being asked", () => {
    const template = changed(
      {
        nodeSelector: { a: "b" },
        runtimeClassName: "gvisor",
        tolerations: [{ key: "x" }],
        ...volume({ emptyDir: {} }),
      },
      { envFrom: [{ secretRef: { name: "own-secret" } }] },
    )
    expect(render(template).spec).toMatchObject({ nodeSelector: { a: "b" }, runtimeClassName: "gvisor" })
  })
  test("may say how long it stays on a lost node, and prefer other nodes than its like", () => {
    const template = changed({
      tolerations: ["not-ready", "unreachable"].map((name) => ({
        ...{ key: `node.kubernetes.io/${name}`, operator: "Exists", effect: "NoExecute", tolerationSeconds: 5 },
      })),
      affinity: { podAntiAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 1 }] } },
      preemptionPolicy: "Never",
      schedulerName: "default-scheduler",
      serviceAccountName: "default",
    })
    expect(refusal(template)).toBe("allowed")
  })
  test.each([
    ["a field of a later Kubernetes", "spec.hostFuture", changed({ hostFuture: true })],
    ["one of a container", "spec.containers[].hostFuture", changed({}, { hostFuture: false })],
    [
      "one of the security of a container",
      "spec.containers[].securityContext.future",
      changed({}, { securityContext: { future: 1 } }),
    ],
    ["one of the Pod's security", "spec.securityContext.future", changed({ securityContext: { future: [] } })],
    ["another kind of volume", "spec.volumes[].future", changed(volume({ future: {} }))],
    ["another kind of probe", "spec.containers[].startupProbe.future", changed({}, { startupProbe: { future: {} } })],
    ["a field named like one of every object", "spec.constructor", changed({ constructor: 1 })],
    ["a name that no field can have", "spec.a?b??", changed({ "a\nb\u2028\u0000": 1 })],
    ["a list where an object should be", "spec.securityContext", changed({ securityContext: [] })],
    ["text where a list should be", "spec.volumes", changed({ volumes: "all" })],
    ["text where an object should be", "spec.volumes[]", changed({ volumes: ["all"] })],
    ["a number in its command", "spec.containers[].command", changed({}, { command: ["a", 1] })],
    ["text for arguments", "spec.containers[].args", changed({}, { args: "all" })],
    ["a number in its environment", "spec.containers[].env[].value", changed({}, { env: [{ name: "A", value: 1 }] })],
    ["a container that is no new Pod's", "spec.ephemeralContainers", changed({ ephemeralContainers: [{ name: "d" }] })],
    ["another system than Linux", "spec.os", changed({ os: { name: "windows" } })],
    [
      "more than an hour to end",
      "spec.terminationGracePeriodSeconds",
      changed({ terminationGracePeriodSeconds: 3_601 }),
    ],
  ])("never gets %s, and its path is told", (_name, path, template) => {
    const told = `PluginFailed: A pod template set fields or values that nothing allows: ${path}.`
    expect(refusal(template, podFreedoms)).toContain(told.slice("PluginFailed: ".length))
    expect(() => render(template)).toThrow(expect.objectContaining({ code: "PluginFailed" }))
  })
  test("is told of five refused fields, however many there are", () => {
    const many = Object.fromEntries(Array.from({ length: 1_000 }, (_, at) => [`f${at}`, 1]))
    expect(refusal(changed(many))).toMatch(/allows: spec\.f0, spec\.f1, spec\.f2, spec\.f3, spec\.f4\.$/)
  })
  test("may leave fields empty, as Kubernetes writes them", () => {
    const empty = { hostNetwork: false, nodeName: "", hostPID: null, tolerations: [], schedulerName: "", os: null }
    expect(refusal(changed(empty))).toBe("allowed")
  })
  test("gets no environment that doubles with each variable", () => {
    const env = Array.from({ length: 100 }, (_, at) => ({ name: `V${at + 1}`, value: `$(V${at})$(V${at})` }))
    const template = changed({}, { env: [{ name: "V0", value: "xx" }, ...env] })
    expect(refusal(template, podFreedoms)).toMatch(/The environment variable V\d+ becomes longer than 131072 bytes/)
  })
  test("cannot take owner, labels, name, hash, user or floor away", () => {
    const plain = render((pod) => pod)
    const stripped = render((pod) => ({
      ...pod,
      metadata: {
        name: "other",
        namespace: "kube-system",
        labels: { "mcp.reflow.io/instance": "bobs" },
        ownerReferences: [],
        finalizers: ["example.com/never"],
      },
      spec: {
        ...pod.spec,
        automountServiceAccountToken: true,
        enableServiceLinks: true,
        securityContext: { runAsUser: 0, runAsNonRoot: false, seccompProfile: { type: "Unconfined" } },
        containers: pod.spec.containers.map((each) => ({
          ...each,
          terminationMessagePath: "/dev/null",
          terminationMessagePolicy: "FallbackToLogsOnError",
          securityContext: {
            allowPrivilegeEscalation: true,
            readOnlyRootFilesystem: false,
            runAsUser: 0,
            runAsNonRoot: false,
          },
        })),
      },
    }))
    expect(stripped.metadata).toEqual(plain.metadata)
    expect(stripped.spec.automountServiceAccountToken).toBe(false)
    expect(stripped.spec.securityContext).toEqual(plain.spec.securityContext)
    const [mine, ours] = [stripped, plain].map((pod) => pod.spec.containers[0])
    expect(mine?.securityContext).toEqual(ours?.securityContext)
    expect(mine).toMatchObject({ terminationMessagePolicy: "File", terminationMessagePath: "/dev/termination-log" })
    expect(stripped.spec.enableServiceLinks).toBe(false)
  })
  test.each([
    ["keeps AppArmor by annotation", { "container.apparmor.security.beta.kubernetes.io/mcp": "runtime/default" }],
    ["has a word of its own by annotation", { "example.com/mode": "unconfined" }],
  ])("needs no permission if it %s", (_, annotations) => {
    const annotated = (pod: Pod): Pod => ({ ...pod, metadata: { ...pod.metadata, annotations } })
    expect(takenBy(annotated(render((pod) => pod)), instance).permissions).toEqual([])
  })
  test("cannot choose a user where the platform chooses it", () => {
    const settings = someSettings({
      template: changed({ securityContext: { runAsUser: 0, runAsGroup: 0, fsGroup: 0, runAsNonRoot: false } }),
      run_as_user: undefined,
    })
    const { securityContext } = desiredPod({ instance, name: "files-user-a-xyz23", settings }).spec
    expect(securityContext).not.toHaveProperty("runAsUser")
    expect(securityContext).not.toHaveProperty("fsGroup")
    expect(securityContext).toMatchObject({ runAsNonRoot: true })
  })
})
