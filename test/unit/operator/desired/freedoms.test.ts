import { describe, expect, test } from "vitest"
import type { Pod } from "../../../../src/api/pod.ts"
import { podFreedoms } from "../../../../src/config/schema.ts"
import { freedomsOf, type PodFreedom } from "../../../../src/operator/desired/freedoms.ts"
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
  ["a claim of storage", "otherVolumes", changed(volume({ persistentVolumeClaim: { claimName: "c" } }))],
  ["a ConfigMap", "otherVolumes", changed(volume({ configMap: { name: "c" } }))],
]

describe("a pod template", () => {
  test.each(tries)("gets %s only where kubernetes.allow_in_pods has %s", (_name, freedom, template) => {
    expect(refusal(template)).toContain(`kubernetes.allow_in_pods does not allow: ${freedom}`)
    const allowed = [...new Set([...freedomsOf(template(render((pod) => pod)), instance)])]
    expect(allowed).toContain(freedom)
    expect(freedomsOf(render(template, allowed), instance), "what is allowed is in the Pod").toContain(freedom)
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
        securityContext: { runAsUser: 0, runAsNonRoot: false, seccompProfile: { type: "Unconfined" } },
        containers: pod.spec.containers.map((each) => ({
          ...each,
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
    expect(mine?.terminationMessagePolicy).toBe("File")
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
