import { afterEach, beforeEach, expect, test } from "vitest"
import { type Pod, podKind } from "../../src/api/kinds/pod.ts"
import { labels } from "../../src/api/names.ts"
import { type OperatorWorld, operatorWorld } from "../support/operator-world.ts"

let world: OperatorWorld
beforeEach(() => {
  world = operatorWorld()
})
afterEach(() => world.close())

/** Makes a Pod like the one there is, under another name. */
const copy = async (name: string): Promise<Pod> => {
  const [pod] = await world.livePods()
  if (pod === undefined) throw new Error("no Pod to copy")
  const { annotations, ownerReferences, namespace } = pod.metadata
  const own = { ...pod.metadata.labels, [labels.pod]: name }
  const metadata = Object.fromEntries(
    Object.entries({ namespace, annotations, ownerReferences }).filter(([, value]) => value !== undefined),
  )
  return await world.cluster.create(podKind, { ...pod, metadata: { ...metadata, name, labels: own } })
}

test("of two Pods of one instance the newer one stays, and the Service follows it", async () => {
  const operator = await world.start()
  await world.make()
  await world.pass(60)
  const [first] = await world.livePods()
  await operator.close()
  const second = await copy("newer")
  await world.start()
  await world.pass(60)
  expect((await world.livePods()).map(({ metadata }) => metadata.uid)).toEqual([second.metadata.uid])
  expect(first?.metadata.uid).not.toBe(second.metadata.uid)
  expect(await world.status()).toMatchObject({ phase: "Ready", podName: "newer" })
  const [service] = await world.services()
  expect(service?.spec.selector).toEqual({ [labels.pod]: "newer" })
})

test("of two Pods that were made in the same second, the one that the status names stays", async () => {
  world.kubelet.play([])
  const operator = await world.start()
  await world.make()
  await world.pass(0)
  const [known] = await world.livePods()
  await world.touch({ podName: known?.metadata.name ?? "" })
  await operator.close()
  await copy("aa-twin")
  const [a, b] = await world.livePods()
  expect(a?.metadata.creationTimestamp).toBe(b?.metadata.creationTimestamp)
  await world.start()
  await world.pass(5)
  expect((await world.livePods()).map(({ metadata }) => metadata.name)).toEqual([known?.metadata.name])
})
