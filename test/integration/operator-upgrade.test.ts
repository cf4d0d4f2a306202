import { afterEach, beforeEach, expect, it } from "vitest"
import { podKind } from "../../src/api/kinds/pod.ts"
import { labels } from "../../src/api/names.ts"
import { type OperatorWorld, operatorWorld } from "../support/operator-world.ts"

const namespace = "reflow"
const hour = 3_600
let world: OperatorWorld

beforeEach(() => {
  world = operatorWorld()
})
afterEach(() => world.close())

/** Defaults that make another Pod of the same instance. */
const otherDefaults = { run_as_user: 1_234, start_timeout: 33_000 }
const forDays = { idle_ttl: 100 * hour * 1000, max_lifetime: 200 * hour * 1000 }

const podsByUser = async () => (await world.livePods()).map(({ spec }) => spec.securityContext?.runAsUser)

it("an operator with other defaults leaves running Pods alone, and uses its defaults from the next start on", async () => {
  const first = await world.start(forDays)
  for (const name of ["a", "b"]) await world.make({ name, spec: { subjectKey: `user:${name}` } })
  await world.pass(10)
  const before = await world.pods()
  await first.close()
  const written = world.writes.length
  await world.start({ ...forDays, ...otherDefaults })
  await world.pass(2 * hour)
  expect(await world.pods()).toEqual(before)
  expect(world.writes.slice(written)).toEqual([])
  expect(await podsByUser()).toEqual([65_532, 65_532])

  const changed = before.find(({ metadata }) => metadata.labels?.[labels.instance] === "b")
  await world.edit({ spec: { env: [{ name: "A", value: "1" }] } }, "b")
  await world.pass(10)
  const after = await world.livePods()
  expect((await podsByUser()).sort()).toEqual([1_234, 65_532])
  expect(after.map(({ metadata }) => metadata.name)).not.toContain(changed?.metadata.name)
  expect(await world.status("a")).toMatchObject({ phase: "Ready", starts: 1 })
})

it("a Pod that another version of the program made, with a template of its own, stays", async () => {
  const first = await world.start(forDays)
  await world.make()
  await world.pass(10)
  await first.close()
  const [pod] = await world.pods()
  const ref = { namespace, name: pod?.metadata.name ?? "" }
  const annotations = { [labels.templateRevision]: "0" }
  await world.cluster.mergePatch(podKind, ref, { metadata: { annotations, labels: { "of-an-older": "program" } } })
  const older = await world.pods()
  await world.start(forDays)
  await world.pass(2 * hour)
  expect(await world.pods()).toEqual(older)
  expect(await world.status()).toMatchObject({ phase: "Ready", starts: 1 })
})
