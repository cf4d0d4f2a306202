import { afterEach, beforeEach, describe, expect, it } from "vitest"
import type { Intercept } from "../../src/adapters/memory/client.ts"
import { serviceKind } from "../../src/api/kinds/kubernetes.ts"
import { mcpTargetKind } from "../../src/api/kinds/mcp-target.ts"
import { podKind } from "../../src/api/kinds/pod.ts"
import { labels } from "../../src/api/names.ts"
import { AppError, type ErrorCode } from "../../src/errors.ts"
import { desiredService } from "../../src/operator/desired/service.ts"
import { anInstance } from "../support/build/instance.ts"
import { aPod, crashedStatus, readyStatus, waitingStatus } from "../support/build/pod.ts"
import { starting } from "../support/fake-kubelet.ts"
import { type OperatorWorld, operatorWorld } from "../support/operator-world.ts"

const namespace = "reflow"
let world: OperatorWorld

beforeEach(() => {
  world = operatorWorld()
})
afterEach(() => world.close())

/** A cluster that refuses to create Pods for as long as the test wants. */
const refusing = (code: ErrorCode, detail: string, status?: number) => {
  const switched = { on: true }
  const intercept: Intercept = {
    call: (call, run) => {
      if (switched.on && call.verb === "create" && call.kind === "Pod")
        throw new AppError(code, { detail, ...(status === undefined ? {} : { data: { status } }) })
      return run()
    },
  }
  return { switched, intercept }
}

describe("a start", () => {
  it("makes a Service, then a Pod, and is Ready after at most eight writes", async () => {
    await world.start()
    await world.make()
    await world.pass(5)
    const [pod] = await world.pods()
    const [service] = await world.services()
    expect(await world.status()).toMatchObject({
      phase: "Ready",
      podName: pod?.metadata.name,
      podIP: "10.1.0.7",
      podURL: "http://10.1.0.7:8080/mcp",
      url: "http://127.0.0.1:8080/mcp",
      incarnation: `${pod?.metadata.uid}.0`,
      starts: 1,
      restarts: 0,
    })
    expect(service?.spec.selector).toEqual({ [labels.pod]: pod?.metadata.name })
    const made = world.writes.filter(({ verb }) => verb === "create").map(({ kind }) => kind)
    expect(made).toEqual(["Service", "Pod"])
    expect(world.writes.length).toBeLessThanOrEqual(8)
  })

  it("that takes long needs no more than eight writes either, and says what it waits for", async () => {
    world.kubelet.play([{ afterMs: 60_000, status: () => readyStatus() }])
    await world.start()
    await world.make()
    await world.pass(11)
    expect(await world.status()).toMatchObject({ phase: "Starting" })
    await world.pass(60)
    expect(await world.status()).toMatchObject({ phase: "Ready" })
    expect(world.writes.length).toBeLessThanOrEqual(8)
  })

  it("of the spec text's example, applied by hand, needs no target and no label", async () => {
    await world.start()
    await world.make({
      name: "github-user-abc123",
      spec: {
        image: "ghcr.io/org/mcp-github:latest",
        targetName: "github",
        secretName: "github-user-abc123",
        healthPath: "/",
        resources: { requests: { cpu: "100m", memory: "128Mi" }, limits: { cpu: "500m", memory: "512Mi" } },
      },
    })
    await world.pass(5)
    expect(await world.status("github-user-abc123")).toMatchObject({ phase: "Ready", secretName: "github-user-abc123" })
    const [pod] = await world.pods()
    expect(pod?.spec.containers[0]).toMatchObject({
      imagePullPolicy: "IfNotPresent",
      envFrom: [{ secretRef: { name: "github-user-abc123" } }],
      startupProbe: { httpGet: { path: "/", port: 8080 } },
    })
  })

  it("on the embedded cluster is reached at the port that the node gave", async () => {
    await world.start({ embedded: true })
    await world.make()
    await world.pass(5)
    expect(await world.status()).toMatchObject({
      url: "http://127.0.0.1:40001/mcp",
      podURL: "http://10.1.0.7:40001/mcp",
    })
  })

  it("tells how long each of its steps took", async () => {
    await world.start()
    await world.make()
    await world.pass(5)
    const { timings = {} } = await world.status()
    expect(Object.keys(timings)).toEqual(["queue", "create", "schedule", "pull", "start", "ready"])
  })

  it("tells the steps that are over with the address, to which the first call may go before the Pod is Ready", async () => {
    world.kubelet.play([{ afterMs: 100, status: starting }])
    await world.start()
    await world.make()
    await world.pass(2)
    const { timings = {}, podURL } = await world.status()
    expect(podURL).toBeDefined()
    expect(Object.keys(timings)).toEqual(["queue", "create", "schedule", "pull"])
    const before = world.writes.length
    await world.pass(30)
    expect(world.writes.slice(before).filter(({ verb }) => verb === "patchStatus").length).toBeLessThanOrEqual(1)
  })

  it("is told in Events, once each", async () => {
    await world.start()
    await world.make()
    await world.pass(600)
    const reasons = (await world.events()).map(({ reason, count }) => `${reason} ${count}`)
    expect(reasons.sort()).toEqual(["PodCreated 1", "Ready 1"])
  })
})

describe("a steady state", () => {
  it("causes no writes, for hours", async () => {
    await world.start({ idle_ttl: 100 * 3_600_000, max_lifetime: 200 * 3_600_000 })
    await world.makeTarget()
    await world.make()
    await world.pass(30)
    const before = world.writes.length
    await world.pass(2 * 3_600)
    expect(world.writes.slice(before)).toEqual([])
  })

  it("of a failing start causes none either", async () => {
    world.kubelet.play([{ afterMs: 100, status: () => waitingStatus("ImagePullBackOff", "Back-off pulling") }])
    await world.start()
    await world.make()
    await world.pass(15)
    const before = world.writes.length
    await world.pass(120)
    expect(world.writes.slice(before)).toEqual([])
  })
})

describe("convergence", () => {
  it("a Pod deleted by hand is replaced by one of another name, and the Service selects that", async () => {
    await world.start()
    await world.make()
    await world.pass(5)
    const [old] = await world.pods()
    await world.cluster.delete(podKind, { namespace, name: old?.metadata.name ?? "" })
    await world.pass(10)
    const [pod, ...others] = await world.pods()
    expect(others).toEqual([])
    expect(pod?.metadata.name).not.toBe(old?.metadata.name)
    expect((await world.services())[0]?.spec.selector).toEqual({ [labels.pod]: pod?.metadata.name })
    expect(await world.status()).toMatchObject({ phase: "Ready", podName: pod?.metadata.name, starts: 2 })
  })

  it("Pods that are deleted again and again before they are ready come back ever later", async () => {
    world.kubelet.play([])
    await world.start()
    await world.make()
    for (let kill = 0; kill < 6; kill++) {
      await world.pass(30)
      for (const pod of await world.livePods())
        await world.cluster.delete(podKind, { namespace, name: pod.metadata.name }, { gracePeriodSeconds: 0 })
    }
    await world.pass(10)
    expect((await world.status()).backoffSeconds).toBeGreaterThanOrEqual(16)
    expect(await world.livePods()).toEqual([])
  })

  it("a Service deleted by hand is made anew, and the Pod stays", async () => {
    await world.start()
    const { metadata } = await world.make()
    await world.pass(5)
    const [pod] = await world.pods()
    await world.cluster.delete(serviceKind, { namespace, name: metadata.name })
    await world.pass(1)
    expect((await world.services())[0]?.spec.selector).toEqual({ [labels.pod]: pod?.metadata.name })
    expect((await world.pods()).map((each) => each.metadata.uid)).toEqual([pod?.metadata.uid])
    expect(await world.status()).toMatchObject({ phase: "Ready" })
  })

  it("what happened while no operator ran is caught up with", async () => {
    const first = await world.start()
    await world.make({ name: "old" })
    await world.pass(5)
    await first.close()
    const [pod] = await world.pods()
    await world.cluster.delete(podKind, { namespace, name: pod?.metadata.name ?? "" }, { gracePeriodSeconds: 0 })
    await world.make({ name: "new", spec: { subjectKey: "user:b" } })
    await world.pass(60)
    await world.start()
    await world.pass(5)
    expect(await world.status("old")).toMatchObject({ phase: "Ready", starts: 2 })
    expect(await world.status("new")).toMatchObject({ phase: "Ready", starts: 1 })
  })

  it("a closed operator writes nothing more and leaves no timer", async () => {
    const before = world.clock.pending
    const operator = await world.start()
    await world.make()
    await operator.close()
    const { length } = world.writes
    await world.pass(60)
    expect(world.writes).toHaveLength(length)
    expect(world.clock.pending).toBeLessThanOrEqual(before)
  })
})

describe("a change of spec", () => {
  it("replaces an idle server's Pod soon, and only once for a burst", async () => {
    await world.start()
    await world.make()
    await world.pass(5)
    for (const image of ["ghcr.io/org/files:2", "ghcr.io/org/files:3", "ghcr.io/org/files:4"])
      await world.edit({ spec: { image } })
    await world.pass(10)
    const [pod] = await world.livePods()
    expect(pod?.spec.containers[0]?.image).toBe("ghcr.io/org/files:4")
    expect(await world.status()).toMatchObject({ phase: "Ready", starts: 2 })
    expect(await world.reason("Draining")).toBe("NotDraining")
  })

  it("drains a busy server first, and replaces it when its call ends", async () => {
    await world.start()
    await world.make()
    await world.pass(5)
    await world.touch({ inUseBy: { "gw-0": "a" } })
    await world.edit({ spec: { env: [{ name: "A", value: "1" }] } })
    await world.pass(30)
    expect(await world.status()).toMatchObject({ phase: "Draining", starts: 1 })
    expect(await world.reason("Draining")).toBe("SpecChanged")
    await world.touch({ inUseBy: { "gw-0": null } })
    await world.pass(5)
    expect(await world.status()).toMatchObject({ phase: "Ready", starts: 2 })
  })

  it("ends a call that outlives drain_timeout", async () => {
    await world.start()
    await world.make()
    await world.pass(5)
    await world.touch({ inUseBy: { "gw-0": "a" } })
    await world.edit({ spec: { secretName: "other" } })
    await world.pass(59)
    expect(await world.status()).toMatchObject({ starts: 1 })
    await world.touch({ inUseBy: { "gw-0": "b" } })
    await world.pass(5)
    expect(await world.status()).toMatchObject({ phase: "Ready", starts: 2, secretName: "other" })
  })

  it("of what a Pod need not follow replaces nothing", async () => {
    await world.start()
    await world.make()
    await world.pass(5)
    await world.edit({ spec: { path: "/other", idleTTL: "1h" } })
    await world.pass(5)
    expect(await world.status()).toMatchObject({ phase: "Ready", starts: 1, podURL: "http://10.1.0.7:8080/other" })
  })

  it("of the target reaches its instances, nested fields included, and only from a newer generation", async () => {
    const target = await world.makeTarget({ spec: { resources: { limits: { cpu: "1", memory: "1Gi" } } } })
    await world.start()
    const spec = { targetUID: target.metadata.uid ?? "", targetGeneration: 1, resources: target.spec.resources }
    await world.make({ name: "follows", spec })
    await world.make({ name: "newer", spec: { ...spec, targetGeneration: 9, subjectKey: "user:b" } })
    await world.make({ name: "by-hand", spec: { subjectKey: "user:c" } })
    await world.pass(5)
    const patch = { spec: { image: "ghcr.io/org/files:2", resources: { limits: { memory: null } } } }
    await world.cluster.mergePatch(mcpTargetKind, { namespace, name: "files" }, patch)
    await world.pass(10)
    expect((await world.instance("follows"))?.spec).toMatchObject({
      image: "ghcr.io/org/files:2",
      targetGeneration: 2,
      resources: { limits: { cpu: "1" } },
    })
    expect(await world.status("follows")).toMatchObject({ phase: "Ready", starts: 2 })
    expect((await world.instance("newer"))?.spec.image).toBe("ghcr.io/org/files:1")
    expect((await world.instance("by-hand"))?.spec.image).toBe("ghcr.io/org/files:1")
  })
})

describe("a failing start", () => {
  it("is told within two seconds and counts as failed within ten; it heals when the cause does", async () => {
    world.kubelet.play([{ afterMs: 0, status: () => waitingStatus("ErrImagePull", "not found") }])
    await world.start()
    await world.make()
    await world.pass(2)
    expect(await world.reason("Ready")).toBe("ErrImagePull")
    expect((await world.status()).failure).toBeUndefined()
    await world.pass(9)
    expect(await world.status()).toMatchObject({ phase: "Failed", failure: { reason: "ErrImagePull" } })
    const [pod] = await world.pods()
    await world.kubelet.set(pod?.metadata.name ?? "", readyStatus())
    await world.pass(1)
    const healed = await world.status()
    expect(healed).toMatchObject({ phase: "Ready" })
    expect(healed.failure).toBeUndefined()
  })

  it("by a crash names the exit code within three seconds", async () => {
    world.kubelet.play([{ afterMs: 100, status: () => crashedStatus(3) }])
    await world.start()
    await world.make()
    await world.pass(3)
    expect(await world.status()).toMatchObject({ phase: "Failed", failure: { reason: "CrashLoop", exitCode: 3 } })
    expect((await world.events()).filter(({ type }) => type === "Warning")).toHaveLength(1)
  })

  it("whose Pod has no address yet has no incarnation that a gateway could use", async () => {
    const message = "0/3 nodes are available."
    const conditions = [{ type: "PodScheduled", status: "False", reason: "Unschedulable", message }]
    world.kubelet.play([{ afterMs: 10, status: () => ({ phase: "Pending", conditions }) }])
    await world.start()
    await world.make()
    await world.pass(20)
    expect(await world.reason("Ready")).toBe("Unschedulable")
    const status = await world.status()
    expect(status.podName).toBeDefined()
    expect([status.incarnation, status.podURL]).toEqual([undefined, undefined])
  })

  it("without an answer fails at start_timeout", async () => {
    world.kubelet.play([{ afterMs: 100, status: starting }])
    await world.start({ start_timeout: 30_000 })
    await world.make()
    await world.pass(29)
    expect(await world.status()).toMatchObject({ phase: "Starting" })
    await world.pass(2)
    expect(await world.status()).toMatchObject({ phase: "Failed", failure: { reason: "StartTimeout" } })
  })

  it("whose health path is not there is told so, from the kubelet's Events", async () => {
    world.kubelet.play([{ afterMs: 100, status: starting }])
    await world.start()
    await world.make({ spec: { healthPath: "/healthz" } })
    await world.pass(1)
    const [pod] = await world.pods()
    if (pod === undefined) throw new Error("no Pod")
    const note = "Startup probe failed: HTTP probe failed with statuscode: 404"
    await world.cluster.recordEvent({ regarding: pod, type: "Warning", reason: "Unhealthy", note })
    await world.pass(12)
    expect(await world.status()).toMatchObject({
      phase: "Failed",
      failure: { reason: "HealthPathNotFound", message: expect.stringContaining("/healthz") },
    })
  })

  it("is replaced when its Pod was evicted: at once if it was ready before", async () => {
    await world.start()
    await world.make()
    await world.pass(5)
    const [pod] = await world.pods()
    await world.kubelet.set(pod?.metadata.name ?? "", { phase: "Failed", reason: "Evicted", message: "low on memory" })
    await world.pass(3)
    expect(await world.status()).toMatchObject({ phase: "Ready", starts: 2 })
  })

  it.each([
    ["ApiForbidden", "violates PodSecurity restricted", "PodForbidden"],
    ["QuotaExceeded", "exceeded quota: compute", "QuotaExceeded"],
    ["ApiInvalid", "spec.containers[0].image: required", "PodInvalid"],
    ["ClusterUnavailable", 'failed calling webhook "pods.example": no endpoints available', "WebhookFailed", 500],
  ] as const)(
    "that the API server refuses (%s: %s) is %s, and is tried again ever later",
    async (code, detail, reason, status?: number) => {
      const { intercept, switched } = refusing(code, detail, status)
      const first = await world.start({}, intercept)
      await world.make()
      await world.touch({ inUseBy: { "gw-0": "a" } })
      await world.pass(20)
      expect(await world.status()).toMatchObject({ phase: "Failed", failure: { reason } })
      expect((await world.status()).failure?.message).toContain(detail)
      const tries = () => world.writes.filter(({ verb, kind }) => verb === "create" && kind === "Pod").length
      expect(tries()).toBe(5)
      await first.close()
      const second = await world.start({}, intercept)
      await world.pass(5)
      expect(tries(), "the backoff outlives the operator").toBe(5)
      switched.on = false
      await world.edit({ spec: { image: "ghcr.io/org/files:2" } })
      await world.pass(3)
      expect(await world.status(), "a spec change resets it").toMatchObject({ phase: "Ready" })
      expect((await world.status()).backoffSeconds).toBeUndefined()
      await second.close()
    },
  )

  it("that the API server fails at is told in its words, in status, Event and log, and goes on once it can", async () => {
    const { intercept, switched } = refusing("ClusterUnavailable", "create pods: etcdserver: request is too large", 500)
    await world.start({}, intercept)
    await world.make()
    await world.pass(5)
    const { conditions, failure } = await world.status()
    const ready = conditions?.find(({ type }) => type === "Ready")
    expect(ready).toMatchObject({ status: "False", reason: "ReconcileFailed" })
    expect(ready?.message).toContain("etcdserver: request is too large")
    expect(failure, "nobody who waits is sent away").toBeUndefined()
    const told = (await world.events()).filter(({ reason }) => reason === "ReconcileFailed")
    expect(told.map(({ message }) => message)).toEqual([expect.stringContaining("request is too large")])
    const lines = world.lines.filter(({ message }) => message === "a reconcile failed and is tried again")
    expect(lines.length).toBeGreaterThan(2)
    expect(lines.every(({ level }) => level === "warn")).toBe(true)
    switched.on = false
    await world.pass(10)
    expect(await world.status()).toMatchObject({ phase: "Ready" })
  })

  it("that a fault of the operator's own stops is told so, without words that nobody has looked at", async () => {
    await world.start(
      {},
      {
        call: async ({ verb, kind }, run) => {
          if (verb === "create" && kind === "Pod") throw new TypeError("canary")
          return run()
        },
      },
    )
    await world.make()
    await world.pass(5)
    const ready = (await world.status()).conditions?.find(({ type }) => type === "Ready")
    expect(ready).toMatchObject({ status: "False", reason: "ReconcileFailed" })
    expect(ready?.message).toContain("an internal error of the operator")
    expect(JSON.stringify([await world.status(), await world.events()])).not.toContain("canary")
    expect(world.lines.some(({ fields }) => fields.error instanceof TypeError)).toBe(true)
  })

  it("whose Service a webhook changes back again and again is told so, and neither written nor tried without a pause", async () => {
    const ref = { namespace, name: "files-user-a" }
    const lead = { spec: { ports: [{ name: "mcp", port: 8080, targetPort: 9, protocol: "TCP" }] } }
    await world.start(
      {},
      {
        call: async ({ verb, kind }, run) => {
          // of a patch whose change is taken back nothing is left to write
          if (kind === "Service" && verb === "mergePatch")
            return (await world.cluster.get(serviceKind, ref)) as Awaited<ReturnType<typeof run>>
          const made = await run()
          if (kind !== "Service" || verb !== "create") return made
          return (await world.cluster.mergePatch(serviceKind, ref, lead)) as typeof made
        },
      },
    )
    await world.make()
    await world.pass(60)
    const ready = (await world.status()).conditions?.find(({ type }) => type === "Ready")
    expect(ready).toMatchObject({ status: "False", reason: "ReconcileFailed" })
    expect(ready?.message).toMatch(/staleService.*webhook/)
    const written = world.writes.filter(({ kind }) => kind === "MCPInstance").length
    expect(written, "the same words are one write").toBe(1)
    expect(world.writes.filter(({ kind }) => kind === "Service").length).toBeLessThan(12 * 12)
  })

  it("that nobody answers at all is no trouble of its own: nothing is written, and the log stays quiet", async () => {
    const { intercept } = refusing("ClusterUnavailable", "create pods: the API server cannot be reached")
    await world.start({}, intercept)
    await world.make()
    await world.pass(5)
    expect((await world.events()).filter(({ reason }) => reason === "ReconcileFailed")).toEqual([])
    expect(world.lines.filter(({ level }) => level === "warn")).toEqual([])
  })

  it("goes after five minutes if nobody waits for it", async () => {
    world.kubelet.play([{ afterMs: 100, status: () => crashedStatus(1) }])
    await world.start()
    await world.make()
    await world.pass(295)
    expect(await world.instance()).toBeDefined()
    await world.pass(15)
    expect(await world.instance()).toBeUndefined()
  })

  it("stays while somebody waits for it", async () => {
    world.kubelet.play([{ afterMs: 100, status: () => crashedStatus(1) }])
    await world.start()
    await world.make()
    for (let renewal = 0; renewal < 20; renewal++) {
      await world.touch({ inUseBy: { "gw-0": String(renewal) } })
      await world.pass(30)
    }
    expect(await world.status()).toMatchObject({ phase: "Failed" })
  })
})

describe("a name that is taken", () => {
  it("by a stranger is an error, and the stranger's object stays untouched until its owner removes it", async () => {
    const { kind, apiVersion } = serviceKind
    const metadata = { name: "files-user-a", namespace }
    const theirs = await world.cluster.create(serviceKind, {
      apiVersion,
      kind,
      metadata,
      spec: { selector: { a: "b" }, ports: [{ port: 80 }] },
    })
    await world.start()
    await world.make()
    await world.pass(5)
    expect(await world.status()).toMatchObject({ phase: "Failed", failure: { reason: "NameConflict" } })
    expect((await world.services())[0]).toEqual(theirs)
    expect(await world.pods()).toEqual([])
    await world.cluster.delete(serviceKind, metadata)
    await world.pass(5)
    expect(await world.status()).toMatchObject({ phase: "Ready" })
  })

  it("by an orphan of ours is freed: what lost its owner is deleted, and never adopted", async () => {
    const service = desiredService(anInstance(), "some-pod")
    const { ownerReferences: _, ...metadata } = service.metadata
    const orphan = await world.cluster.create(serviceKind, { ...service, metadata: { ...metadata, namespace } })
    await world.start()
    await world.make()
    await world.pass(5)
    expect(await world.status()).toMatchObject({ phase: "Ready" })
    expect((await world.services()).map(({ metadata: { uid } }) => uid)).not.toContain(orphan.metadata.uid)
  })

  it("by a predecessor's child is freed: that child is deleted by uid, never adopted", async () => {
    const ghost = { name: "files-user-a", namespace, uid: "gone" }
    const old = aPod()
    const references = (old.metadata.ownerReferences ?? []).map((each) => ({ ...each, uid: ghost.uid }))
    // the collector of the embedded cluster would be as quick as the operator, so the owner is unknown to it at first
    const { kind, apiVersion } = serviceKind
    const theirs = { apiVersion, kind, metadata: { name: ghost.name, namespace, ownerReferences: references } }
    await world.cluster.create(serviceKind, { ...theirs, spec: { selector: {}, ports: [{ port: 80 }] } })
    await world.start()
    const instance = await world.make()
    await world.pass(5)
    expect((await world.services())[0]?.metadata.ownerReferences?.[0]?.uid).toBe(instance.metadata.uid)
    expect(await world.status()).toMatchObject({ phase: "Ready" })
  })
})

describe("what the spec may not say", () => {
  it.each([
    ["an unknown pod template", { podTemplates: [{ name: "gvisor" }] }, "PodTemplateUnknown"],
    ["root under the restricted standard", { security: { runAsUser: 0 } }, "PodForbidden"],
  ])("%s: no Pod, and a reason", async (_, spec, reason) => {
    await world.start()
    await world.make({ spec })
    await world.pass(5)
    expect(await world.pods()).toEqual([])
    expect(await world.reason("Admitted")).toBe(reason)
    expect(await world.status()).toMatchObject({ phase: "Failed", failure: { reason } })
    await world.edit({ spec: { podTemplates: null, security: null } })
    await world.pass(5)
    expect(await world.status()).toMatchObject({ phase: "Ready" })
  })
})

describe("a target", () => {
  it("is told how many instances it has, at most every five seconds", async () => {
    await world.makeTarget()
    await world.start()
    const target = () => world.cluster.get(mcpTargetKind, { namespace, name: "files" })
    expect((await target())?.status?.conditions).toMatchObject([
      { type: "Accepted", status: "True" },
      { type: "Available", status: "True" },
    ])
    for (const name of ["a", "b", "c"]) await world.make({ name, spec: { subjectKey: `user:${name}` } })
    await world.pass(20)
    expect((await target())?.status).toMatchObject({ instances: 3, ready: 3, failed: 0 })
    const counted = world.writes.filter(({ kind }) => kind === "MCPTarget")
    expect(counted.length).toBeLessThanOrEqual(3)
  })

  it("is not available while it is paused or all of its instances fail", async () => {
    world.kubelet.play([{ afterMs: 100, status: () => crashedStatus(1) }])
    await world.makeTarget()
    await world.start()
    await world.make()
    await world.pass(15)
    const available = async () =>
      (await world.cluster.get(mcpTargetKind, { namespace, name: "files" }))?.status?.conditions?.[1]?.reason
    expect(await available()).toBe("AllInstancesFail")
    await world.cluster.mergePatch(mcpTargetKind, { namespace, name: "files" }, { spec: { paused: true } })
    await world.pass(1)
    expect(await available()).toBe("Paused")
  })
})
