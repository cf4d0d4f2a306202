/**
 * The operator is killed at each of its writes, before it or between it and its answer, on the real API server: each
 * instance has an operator of its own fate, all at once, and the next operator puts the sum of objects right.
 */
import { beforeAll, expect, test } from "vitest"
import { systemClock } from "../../src/adapters/system/clock.ts"
import { controllerUID } from "../../src/api/kinds/kind.ts"
import { type Service, serviceKind } from "../../src/api/kinds/kubernetes.ts"
import { type MCPInstance, mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { type Pod, podKind } from "../../src/api/kinds/pod.ts"
import { AppError } from "../../src/errors.ts"
import { createOperator, type Operator } from "../../src/operator/controller.ts"
import type { ClusterPort, Reflection } from "../../src/ports/cluster.ts"
import { type Around, aroundWrites } from "../support/around-port.ts"
import { someSettings } from "../support/build/settings.ts"
import { disorder } from "../support/operator-invariants.ts"
import { quietTelemetry } from "../support/quiet-telemetry.ts"
import { cluster, kubectl, openCluster } from "./support/cluster.ts"
import { ensureImages, images } from "./support/images.ts"
import { type Installation, makeInstallation } from "./support/role.ts"

let place: Installation
let admin: ClusterPort
let asOperator: ClusterPort
let instances: Reflection<MCPInstance>
let pods: Reflection<Pod>
let services: Reflection<Service>

beforeAll(async () => {
  await ensureImages(["dice"], cluster)
  place = await makeInstallation("interrupted")
  admin = openCluster("test")
  asOperator = openCluster("reflow-operator", { kubeconfig: await place.kubeconfig("operator") })
  const here = { namespace: place.instances }
  instances = admin.watch(mcpInstanceKind, here)
  pods = admin.watch(podKind, here)
  services = admin.watch(serviceKind, here)
  await Promise.all([instances, pods, services].map(({ synced }) => synced))
}, 300_000)

/** The writes at which an operator is killed, and whether that write is made. */
const fates = [1, 2, 3, 4, 5, 6].flatMap((write) => [
  { name: `before-${write}`, write, made: false },
  { name: `after-${write}`, write, made: true },
])

/** Whose write it is: the instance's, its Service's or its Pod's. */
const fateOf = (name: string) => fates.find((fate) => name === fate.name || name.startsWith(`${fate.name}-`))

/** A way to the API server that ends for each instance at its own write; `ended` has the names of those. */
const interrupted = () => {
  const counts = new Map<string, number>()
  const ended = new Set<string>()
  const lost = () => new AppError("ClusterUnavailable", { detail: "The operator of this instance was killed." })
  const around: Around = async (write, run) => {
    const fate = fateOf(write.name)
    if (fate === undefined) return run()
    if (ended.has(fate.name)) throw lost()
    const count = (counts.get(fate.name) ?? 0) + 1
    counts.set(fate.name, count)
    if (count < fate.write) return run()
    ended.add(fate.name)
    if (fate.made) await run()
    throw lost()
  }
  return { cluster: aroundWrites(asOperator, around), ended }
}

const startOperator = async (through: ClusterPort): Promise<Operator> => {
  const options = someSettings({ namespace: place.instances })
  const operator = createOperator({ cluster: through, clock: systemClock, telemetry: quietTelemetry(), options })
  await operator.ready
  return operator
}

const specOf = (name: string) => ({
  image: images.dice.name,
  port: 8080,
  targetName: "dice",
  subjectKey: `user:${name}`,
  resources: { requests: { cpu: "10m", memory: "16Mi" }, limits: { cpu: "500m", memory: "128Mi" } },
})

const makeAll = () =>
  kubectl(["create", "-f", "-"], {
    input: JSON.stringify({
      apiVersion: "v1",
      kind: "List",
      items: fates.map(({ name }) => ({
        apiVersion: mcpInstanceKind.apiVersion,
        kind: mcpInstanceKind.kind,
        metadata: { name, namespace: place.instances },
        spec: specOf(name),
      })),
    }),
  })

const editAll = (spec: object): Promise<unknown> =>
  Promise.all(
    fates.map(({ name }) => admin.mergePatch(mcpInstanceKind, { namespace: place.instances, name }, { spec })),
  )

const ownedBy = <T extends Pod | Service>(all: Reflection<T>, { metadata }: MCPInstance): T[] =>
  [...all.items()].filter((each) => controllerUID(each) === metadata.uid)

/** Waits until each instance is Ready after so many starts, with one Pod and one Service. */
const allRight = async (starts: number): Promise<void> => {
  const isRight = (each: MCPInstance): boolean =>
    each.status?.phase === "Ready" && ownedBy(pods, each).length === 1 && ownedBy(services, each).length === 1
  const wrong = () =>
    fates.filter(({ name }) => {
      const instance = instances.get(name)
      return instance === undefined || !isRight(instance)
    })
  await expect.poll(wrong, { timeout: 90_000, interval: 200 }).toEqual([])
  expect([...instances.items()].filter(({ status }) => status?.starts !== starts)).toEqual([])
  expect(await disorder(admin, place.instances)).toEqual([])
}

/** An operator acts on `cause` and is killed once for each instance, or has done all it does; then the next one begins. */
const interrupt = async (cause: () => Promise<unknown>, isDone: (name: string) => boolean): Promise<Operator> => {
  const { cluster: through, ended } = interrupted()
  const first = await startOperator(through)
  await cause()
  const going = () => fates.filter(({ name }) => !ended.has(name) && !isDone(name)).map(({ name }) => name)
  await expect.poll(going, { timeout: 90_000, interval: 200 }).toEqual([])
  expect(ended.size, "instances whose operator was killed").toBeGreaterThanOrEqual(4)
  await first.close()
  return await startOperator(asOperator)
}

const hasStarted = (starts: number) => (name: string) => {
  const { status } = instances.get(name) ?? {}
  return status?.phase === "Ready" && status.starts === starts
}

test("an operator that is killed at any write of a start leaves what its successor makes one Pod and one Service of", async () => {
  const successor = await interrupt(makeAll, hasStarted(1))
  await allRight(1)
  await successor.close()
})

test("an operator that is killed at any write of a replacement leaves what its successor makes one new Pod of", async () => {
  const successor = await interrupt(() => editAll({ env: [{ name: "AGAIN", value: "1" }] }), hasStarted(2))
  await allRight(2)
  await successor.close()
})

test("an operator that is killed at any write of a restart leaves what its successor removes without a rest", async () => {
  const restart = () => editAll({ restartTime: new Date().toISOString() })
  const successor = await interrupt(restart, (name) => instances.get(name) === undefined)
  const left = () => [instances, pods, services].map(({ size }) => size)
  await expect.poll(left, { timeout: 60_000, interval: 200 }).toEqual([0, 0, 0])
  await successor.close()
})
