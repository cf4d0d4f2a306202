import { describe, expect, it } from "vitest"
import type { MCPInstanceSpec } from "../../../../src/api/kinds/mcp-instance.ts"
import { labels } from "../../../../src/api/names.ts"
import { belowFloor } from "../../../../src/operator/desired/permissions.ts"
import { desiredPod, inputsHash } from "../../../../src/operator/desired/pod.ts"
import { resourcesOf } from "../../../../src/operator/desired/resources.ts"
import { desiredService, routes, serviceRoute } from "../../../../src/operator/desired/service.ts"
import { anInstance } from "../../../support/build/instance.ts"
import { someSettings } from "../../../support/build/settings.ts"

const rendered = (spec: Partial<MCPInstanceSpec> = {}, settings = someSettings()) => {
  const pod = desiredPod({ instance: anInstance({ spec }), name: "files-user-a-xyz23", settings })
  const [container] = pod.spec.containers
  if (container === undefined) throw new Error("no container")
  return { pod, container }
}

describe("the Pod of an instance", () => {
  it("meets the restricted Pod Security Standard and carries no token", () => {
    const { pod, container } = rendered()
    expect(pod.spec).toMatchObject({
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      securityContext: {
        runAsNonRoot: true,
        runAsUser: 65532,
        runAsGroup: 65532,
        fsGroup: 65532,
        seccompProfile: { type: "RuntimeDefault" },
      },
    })
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      capabilities: { drop: ["ALL"] },
      readOnlyRootFilesystem: true,
    })
  })

  it("leaves the ids to the platform where the configuration says so", () => {
    const { pod } = rendered({}, someSettings({ run_as_user: undefined }))
    expect(Object.keys(pod.spec.securityContext ?? {}).sort()).toEqual(["runAsNonRoot", "seccompProfile", "sysctls"])
  })

  it("is owned by its instance and found by its labels", () => {
    const { metadata } = rendered().pod
    expect(metadata.ownerReferences).toEqual([expect.objectContaining({ controller: true, blockOwnerDeletion: true })])
    expect(metadata.labels).toMatchObject({
      "app.kubernetes.io/instance": "files-user-a",
      [labels.target]: "files",
      [labels.instance]: "files-user-a",
      [labels.pod]: "files-user-a-xyz23",
    })
  })

  it("tells the server its port and a home it can write to, first, so that values can name them; PORT is ours alone", () => {
    const env = [
      { name: "PORT", value: "1" },
      { name: "A", value: "b" },
    ]
    expect(rendered({ env }).container.env).toEqual([
      { name: "HOME", value: "/tmp" },
      { name: "PORT", value: "8080" },
      { name: "A", value: "b" },
    ])
    expect(rendered({ env: [{ name: "HOME", value: "/data" }] }).container.env).toContainEqual({
      ...{ name: "HOME", value: "/data" },
    })
  })

  it("has a startup probe for as long as a start may take, a patient readiness probe and no liveness probe", () => {
    const { container } = rendered({ startTimeout: "90s" })
    expect(container.startupProbe).toMatchObject({ tcpSocket: { port: 8080 }, periodSeconds: 1, failureThreshold: 90 })
    expect(container.readinessProbe).toMatchObject({ periodSeconds: 10, timeoutSeconds: 5 })
    expect(container.livenessProbe).toBeUndefined()
  })

  it("serves for two seconds after its Pod was deleted, and has ten more to end", () => {
    const { container, pod } = rendered()
    expect(container.lifecycle).toEqual({ preStop: { sleep: { seconds: 2 } } })
    expect(pod.spec.terminationGracePeriodSeconds).toBe(12)
  })

  it("leaves the server's last log lines in the log: they may hold secrets", () => {
    expect(rendered().container.terminationMessagePolicy).toBe("File")
  })
})

describe("the hash of an instance's inputs", () => {
  const hash = (spec: Partial<MCPInstanceSpec> = {}) => inputsHash(anInstance({ spec }))

  it.each<[string, Partial<MCPInstanceSpec>]>([
    ["image", { image: "other" }],
    ["port", { port: 1 }],
    ["command", { command: ["a"] }],
    ["args", { args: ["a"] }],
    ["env", { env: [{ name: "A", value: "b" }] }],
    ["secretName", { secretName: "other" }],
    ["healthPath", { healthPath: "/" }],
    ["resources", { resources: { limits: { cpu: "1" } } }],
    ["security", { security: { runAsUser: 7 } }],
    ["imagePullPolicy", { imagePullPolicy: "Always" }],
  ])("changes with %s", (_, spec) => {
    expect(hash(spec)).not.toBe(hash())
  })

  it("changes with restartTime where the instance is retained, and only there", () => {
    const retain = { reclaimPolicy: "Retain" } as const
    expect(hash(retain), "the word itself replaces no Pod").toBe(hash())
    expect(hash({ ...retain, restartTime: "2030-01-01T00:00:00Z" })).not.toBe(hash())
  })

  it("does not change with what the Pod need not follow, nor with the order of fields", () => {
    expect(hash({ idleTTL: "1h", path: "/x", restartTime: "2030-01-01T00:00:00Z", targetGeneration: 9 })).toBe(hash())
    const one = hash({ resources: { limits: { cpu: "1", memory: "1Gi" } } })
    expect(hash({ resources: { limits: { memory: "1Gi", cpu: "1" } } })).toBe(one)
  })
})

describe("resources", () => {
  const defaults = { requests: { cpu: "100m", memory: "128Mi" }, limits: { cpu: "500m", memory: "512Mi" } }

  it("default on both sides", () => {
    expect(resourcesOf(undefined)).toEqual(defaults)
  })

  it("never request more than the limit that is said: the request is then left to Kubernetes", () => {
    expect(resourcesOf({ limits: { memory: "64Mi" } })).toEqual({
      requests: { cpu: "100m" },
      limits: { cpu: "500m", memory: "64Mi" },
    })
  })

  it("raise a default limit to the request that is said", () => {
    expect(resourcesOf({ requests: { memory: "1Gi", cpu: "0.2" } })).toEqual({
      requests: { cpu: "0.2", memory: "1Gi" },
      limits: { cpu: "500m", memory: "1Gi" },
    })
  })
})

describe("the floor", () => {
  it.each([
    ["root", { runAsUser: 0 }, true],
    ["permission to run as root", { runAsNonRoot: false }, true],
    ["another user", { runAsUser: 1000 }, false],
    ["the group of root", { runAsGroup: 0 }, true],
    ["volumes of the group of root", { fsGroup: 0 }, true],
    ["other groups", { runAsGroup: 1000, fsGroup: 1 }, false],
    ["a writable root file system", { readOnlyRootFilesystem: false }, false],
  ] as const)("%s", (_, security, below) => {
    expect(belowFloor({ security }, someSettings()) !== undefined).toBe(below)
    expect(belowFloor({ security }, someSettings({ pod_security: "baseline" }))).toBeUndefined()
  })
})

describe("the group of root", () => {
  it.each(["runAsGroup", "fsGroup"] as const)("as %s is told with the word that allows it, which does", (field) => {
    const spec = { security: { [field]: 0 } }
    expect(belowFloor(spec, someSettings())).toMatch(
      new RegExp(`^security.${field} is 0 .*allow_in_pods has no rootGroup`),
    )
    expect(belowFloor(spec, someSettings({ allow_in_pods: ["rootGroup"] }))).toBeUndefined()
    const root = { security: { runAsUser: 0, [field]: 0 } }
    expect(belowFloor(root, someSettings({ allow_in_pods: ["rootGroup"] }))).toContain("runAsUser")
  })
  it("may stay where a Pod of the same spec is there already; root may not", () => {
    expect(belowFloor({ security: { runAsGroup: 0 } }, someSettings(), true)).toBeUndefined()
    expect(belowFloor({ security: { runAsUser: 0 } }, someSettings(), true)).toBeDefined()
  })
})

describe("the Service of an instance", () => {
  const instance = anInstance()
  it("selects exactly one Pod, by its name", () => {
    const service = desiredService(instance, "p")
    expect(service.spec).toMatchObject({ type: "ClusterIP", selector: { [labels.pod]: "p" } })
    expect(routes(service, serviceRoute(instance, "p"))).toBe(true)
    expect(routes(service, serviceRoute(instance, "q"))).toBe(false)
    expect(routes(service, serviceRoute(anInstance({ spec: { port: 9 } }), "p"))).toBe(false)
  })

  it("routes right as long as nobody takes its port away or leads it elsewhere; others may stand beside it", () => {
    const service = desiredService(instance, "p")
    const wanted = serviceRoute(instance, "p")
    const [port] = wanted.ports ?? []
    const withPorts = (ports: NonNullable<typeof wanted.ports>) =>
      routes({ ...service, spec: { ...service.spec, ports } }, wanted)
    expect(withPorts([{ port: 8080, ...port, name: "mcp", protocol: "TCP" }])).toBe(true)
    expect(withPorts([])).toBe(false)
    expect(withPorts([{ port: 9 }, { port: 8080, ...port }])).toBe(true)
    expect(withPorts([{ port: 9 }])).toBe(false)
    expect(withPorts([{ port: 8080, ...port, protocol: "UDP" }])).toBe(false)
    expect(withPorts([{ port: 8080, ...port, targetPort: 9 }])).toBe(false)
    const { ports: _, selector: __, ...bare } = service.spec
    expect(routes({ ...service, spec: bare }, wanted)).toBe(false)
  })
})
