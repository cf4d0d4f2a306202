import { describe, expect, test } from "vitest"
import { secretKind, serviceKind } from "../../../src/api/kinds/kubernetes.ts"
import { mcpInstanceKind } from "../../../src/api/kinds/mcp-instance.ts"
import { mcpTargetKind } from "../../../src/api/kinds/mcp-target.ts"
import { podKind } from "../../../src/api/kinds/pod.ts"
import type { Bench } from "./cluster.ts"
import { instanceOf, podOf, secretOf, serviceOf, targetOf } from "./objects.ts"

type Spec = Readonly<Record<string, unknown>>
type Row = readonly [what: string, spec: Spec, place: string]

const manyVariables = Array.from({ length: 101 }, (_, index) => ({ name: `V${index}`, value: "x" }))

/** What both kinds refuse alike. */
const containerRows: readonly Row[] = [
  ["no image", { image: undefined }, "spec.image"],
  ["an empty image", { image: "" }, "spec.image"],
  ["no port", { port: undefined }, "spec.port"],
  ["stdio without a command", { stdio: {} }, "spec.command"],
  ["stdio with a health path", { stdio: {}, command: ["a"], healthPath: "/" }, "spec.healthPath"],
  ["stdio with an idleTTL that is too short", { stdio: { idleTTL: "1s" }, command: ["a"] }, "spec.stdio.idleTTL"],
  ["port 0", { port: 0 }, "spec.port"],
  ["port 65536", { port: 65_536 }, "spec.port"],
  ["half a port", { port: 80.5 }, "spec.port"],
  ["a path without slash", { path: "mcp" }, "spec.path"],
  ["a path with a query", { path: "/mcp?a=b" }, "spec.path"],
  ["a health path without slash", { healthPath: "up" }, "spec.healthPath"],
  ["an unknown pull policy", { imagePullPolicy: "Sometimes" }, "spec.imagePullPolicy"],
  ["101 variables", { env: manyVariables }, "spec.env"],
  ["a variable with a bad name", { env: [{ name: "1A", value: "x" }] }, "spec.env[0].name"],
  ["a variable without a value", { env: [{ name: "A" }] }, "spec.env[0].value"],
  ["cpu: banana", { resources: { limits: { cpu: "banana" } } }, "spec.resources.limits"],
  ["memory: 1 Gi", { resources: { requests: { memory: "1 Gi" } } }, "spec.resources.requests"],
  ["a negative user id", { security: { runAsUser: -1 } }, "spec.security.runAsUser"],
  ["idleTTL 0s", { idleTTL: "0s" }, "must be at least 10s"],
  ["idleTTL 9.9s", { idleTTL: "9.9s" }, "spec.idleTTL"],
  ["idleTTL in days", { idleTTL: "1d" }, "spec.idleTTL"],
  ["a negative idleTTL", { idleTTL: "-30m" }, "spec.idleTTL"],
  ["maxLifetime 5s", { maxLifetime: "5s" }, "spec.maxLifetime"],
  ["startTimeout 1ms", { startTimeout: "1ms" }, "spec.startTimeout"],
  ["a duration that is a number", { idleTTL: 60 }, "spec.idleTTL"],
]

const targetRows: readonly Row[] = [
  ["an unknown transport", { transportType: "stdio" }, "spec.transportType"],
  ["an unknown boundary", { isolationBoundary: "per_planet" }, "spec.isolationBoundary"],
  ["an unknown statefulness", { statefulness: "sometimes" }, "spec.statefulness"],
  [
    "shared instances of a stdio server without a number of processes",
    { stdio: {}, command: ["a"], isolationBoundary: "shared" },
    "spec.stdio",
  ],
  ["requestTimeout 9s", { requestTimeout: "9s" }, "spec.requestTimeout"],
  ["streamTTL 0s", { streamTTL: "0s" }, "spec.streamTTL"],
  ["maxInstances -1", { maxInstances: -1 }, "spec.maxInstances"],
  ["a credential with a bad name", { credentials: [{ name: "a-b" }] }, "spec.credentials[0].name"],
  ["a secret without a scheme", { secrets: [{ name: "A", from: "vault" }] }, "spec.secrets[0].from"],
  ["101 users", { access: { users: Array(101).fill("ann") } }, "spec.access.users"],
]

const instanceRows: readonly Row[] = [
  ["no target", { targetName: undefined }, "spec.targetName"],
  ["a target with a bad name", { targetName: "1-two" }, "spec.targetName"],
  ["no subject key", { subjectKey: undefined }, "spec.subjectKey"],
  ["an empty subject key", { subjectKey: "" }, "spec.subjectKey"],
  ["a subject key of 254 characters", { subjectKey: "k".repeat(254) }, "spec.subjectKey"],
]

const targetNames = ["x".repeat(41), "1a", "-a", "a-", "A", "a_b", "a.b", "ä"]
const instanceNames = ["x".repeat(58), "1a", "a-", "a.b", "A"]

const immutableOfTarget: readonly Row[] = [
  ["another boundary", { isolationBoundary: "shared" }, "isolationBoundary is immutable"],
  ["the default boundary instead of the chosen one", { isolationBoundary: null }, "isolationBoundary is immutable"],
]
const immutableOfInstance: readonly Row[] = [
  ["another subject key", { subjectKey: "user:xyz" }, "subjectKey is immutable"],
  ["another target", { targetName: "another" }, "targetName is immutable"],
  ["another target UID", { targetUID: "u2" }, "targetUID is immutable"],
  ["no target UID any more", { targetUID: null }, "targetUID is immutable"],
]

const refused = (place: string) => ({ code: "ApiInvalid", message: expect.stringContaining(place) })

const refusesNew = (bench: Bench): void => {
  test.each([...containerRows, ...targetRows])("a target with %s is refused", async (_, spec, place) => {
    const target = targetOf(bench.fresh(), spec)
    await expect(bench.cluster.create(mcpTargetKind, target)).rejects.toMatchObject(refused(place))
    await expect(bench.cluster.apply(mcpTargetKind, target)).rejects.toMatchObject(refused(place))
  })
  test.each([...containerRows, ...instanceRows])("an instance with %s is refused", async (_, spec, place) => {
    const instance = instanceOf(bench.fresh(), spec)
    await expect(bench.cluster.create(mcpInstanceKind, instance)).rejects.toMatchObject(refused(place))
  })
  test.each(targetNames)("a target named %s is refused", async (name) => {
    const target = targetOf({ namespace: bench.namespace, name })
    await expect(bench.cluster.create(mcpTargetKind, target)).rejects.toMatchObject(refused(name))
  })
  test.each(instanceNames)("an instance named %s is refused", async (name) => {
    const instance = instanceOf({ namespace: bench.namespace, name })
    await expect(bench.cluster.create(mcpInstanceKind, instance)).rejects.toMatchObject(refused(name))
  })
  test("the longest names are taken", async () => {
    const { cluster, namespace } = bench
    const [target, instance] = ["x".repeat(40), "x".repeat(57)]
    await cluster.create(mcpTargetKind, targetOf({ namespace, name: target }))
    await cluster.create(mcpInstanceKind, instanceOf({ namespace, name: instance }))
  })
}

const refusesChanges = (bench: Bench): void => {
  test.each(containerRows)("a target cannot be changed to have %s", async (_, spec, place) => {
    const ref = bench.fresh()
    await bench.cluster.create(mcpTargetKind, targetOf(ref))
    const nulled = Object.fromEntries(Object.entries(spec).map(([name, value]) => [name, value ?? null]))
    await expect(bench.cluster.mergePatch(mcpTargetKind, ref, { spec: nulled })).rejects.toMatchObject(refused(place))
  })
  test.each(immutableOfTarget)("a target cannot get %s", async (_, spec, place) => {
    const ref = bench.fresh()
    const made = await bench.cluster.create(mcpTargetKind, targetOf(ref, { isolationBoundary: "per_group" }))
    await expect(bench.cluster.mergePatch(mcpTargetKind, ref, { spec })).rejects.toMatchObject(refused(place))
    expect(await bench.cluster.get(mcpTargetKind, ref)).toEqual(made)
  })
  test.each(immutableOfInstance)("an instance cannot get %s", async (_, spec, place) => {
    const ref = bench.fresh()
    const made = await bench.cluster.create(mcpInstanceKind, instanceOf(ref, { targetUID: "u1" }))
    await expect(bench.cluster.mergePatch(mcpInstanceKind, ref, { spec })).rejects.toMatchObject(refused(place))
    expect(await bench.cluster.get(mcpInstanceKind, ref)).toEqual(made)
  })
  test("an instance without a target UID may get one, once", async () => {
    const ref = bench.fresh()
    await bench.cluster.create(mcpInstanceKind, instanceOf(ref))
    const set = await bench.cluster.mergePatch(mcpInstanceKind, ref, { spec: { targetUID: "u1" } })
    expect(set.spec.targetUID).toBe("u1")
    const again = bench.cluster.mergePatch(mcpInstanceKind, ref, { spec: { targetUID: "u2" } })
    await expect(again).rejects.toMatchObject(refused("targetUID is immutable"))
  })
  test("a status that breaks its schema is refused", async () => {
    const ref = bench.fresh()
    await bench.cluster.create(mcpInstanceKind, instanceOf(ref))
    const status = { phase: "Sleeping" }
    await expect(bench.cluster.patchStatus(mcpInstanceKind, ref, { status })).rejects.toMatchObject(
      refused("status.phase"),
    )
  })
}

const refusesBuiltIn = (bench: Bench): void => {
  test("metadata that Kubernetes does not take is refused", async () => {
    const { cluster, namespace } = bench
    const broken = [
      { ...bench.fresh(), labels: { a: "not a label" } },
      { ...bench.fresh(), labels: { a: "x".repeat(64) } },
      { ...bench.fresh(), labels: { "a/b/c": "x" } },
      { ...bench.fresh(), annotations: { "-a": "x" } },
      { ...bench.fresh(), ownerReferences: [{ apiVersion: "v1", kind: "Pod", name: "x", uid: "" }] },
      { namespace, name: "Upper" },
      { namespace, name: "" },
    ]
    for (const metadata of broken)
      await expect(cluster.create(secretKind, secretOf(metadata))).rejects.toMatchObject({ code: "ApiInvalid" })
  })
  test("Secrets, Pods and Services that Kubernetes does not take are refused", async () => {
    const { cluster } = bench
    const noPorts = { ...serviceOf(bench.fresh()), spec: {} }
    await expect(cluster.create(serviceKind, noPorts)).rejects.toMatchObject(refused("spec.ports"))
    const long = serviceOf({ ...bench.fresh(), name: `s${"x".repeat(63)}` })
    await expect(cluster.create(serviceKind, long)).rejects.toMatchObject({ code: "ApiInvalid" })
    const empty = { ...podOf(bench.fresh()), spec: { containers: [] } }
    await expect(cluster.create(podKind, empty)).rejects.toMatchObject(refused("spec.containers"))
    const badKey = secretOf(bench.fresh(), { data: { "a b": "b25l" } })
    await expect(cluster.create(secretKind, badKey)).rejects.toMatchObject({ code: "ApiInvalid" })
    const pod = bench.fresh()
    await cluster.create(podKind, podOf(pod))
    const change = { spec: { containers: [{ name: "mcp", image: "a", command: ["x"] }] } }
    await expect(cluster.mergePatch(podKind, pod, change)).rejects.toMatchObject({ code: "ApiInvalid" })
  })
}

/** What every cluster refuses, so that no bad object reaches the operator. Refusals name the field or the rule. */
export const describeRefusals = (bench: Bench): void => {
  describe("refusals", () => {
    refusesNew(bench)
    refusesChanges(bench)
    refusesBuiltIn(bench)
  })
}
