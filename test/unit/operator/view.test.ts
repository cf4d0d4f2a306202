import { describe, expect, it } from "vitest"
import { type Pod, podKind } from "../../../src/api/kinds/pod.ts"
import { refresh } from "../../../src/operator/act.ts"
import { createView } from "../../../src/operator/view.ts"
import type { ClusterPort } from "../../../src/ports/cluster.ts"
import { anInstance } from "../../support/build/instance.ts"
import { aPod } from "../../support/build/pod.ts"
import { fakeClock } from "../../support/fake-clock.ts"
import { shownReflection } from "../../support/shown-reflection.ts"

const owner = anInstance()
const ownerUID = owner.metadata.uid ?? ""
const pod = (resourceVersion: string, uid = "u1") => aPod({ of: owner, metadata: { resourceVersion, uid } })
const { name } = pod("1").metadata

const aView = () => {
  const clock = fakeClock()
  const { reflection, tell } = shownReflection<Pod>()
  return { clock, tell, view: createView(reflection, clock) }
}

describe("a view", () => {
  it("shows what we wrote before the reflection does, by name and by controller", () => {
    const { view } = aView()
    view.learn(pod("5"))
    expect(view.get(name)?.metadata.resourceVersion).toBe("5")
    expect(view.controlledBy(ownerUID)).toHaveLength(1)
    expect(view.ownedByName("MCPInstance", owner.metadata.name)).toHaveLength(1)
  })

  it("shows what we deleted as terminating, whatever comes late, until it is gone", () => {
    const { view, tell } = aView()
    tell("added", pod("4"))
    view.ended(pod("4"))
    expect(view.get(name)?.metadata.deletionTimestamp).toBeDefined()
    tell("modified", pod("5"))
    expect(view.get(name)?.metadata.deletionTimestamp).toBeDefined()
    tell("deleted", pod("5"))
    expect(view.get(name)).toBeUndefined()
    expect(view.controlledBy(ownerUID)).toEqual([])
  })

  it("doubts what the reflection has not confirmed for too long, and believes an authoritative read", () => {
    const { view, clock, tell } = aView()
    view.learn(pod("5"))
    expect(view.doubtful(name, 0)).toBe(true)
    expect(view.doubtful(name, 10_000)).toBe(false)
    clock.skew(10_000)
    expect(view.doubtful(name, 10_000)).toBe(true)
    tell("added", pod("5"))
    expect(view.doubtful(name, 0)).toBe(false)
    view.gone(name, "u1")
    expect(view.get(name)).toBeUndefined()
    tell("modified", pod("6"))
    expect(view.get(name), "what is gone does not come back").toBeUndefined()
    expect(view.controlledBy(ownerUID)).toEqual([])
  })

  it("keeps an object that got the name while a read found nothing under it", async () => {
    const { view, tell } = aView()
    tell("added", pod("4"))
    const get = async () => {
      tell("deleted", pod("5"))
      tell("added", pod("6", "u2"))
      return undefined
    }
    const { signal } = new AbortController()
    await refresh({ cluster: { get } as unknown as ClusterPort, namespace: "reflow", signal }, podKind, view, name)
    expect(view.get(name)?.metadata.uid).toBe("u2")
    tell("modified", pod("7", "u2"))
    expect(view.get(name)?.metadata.resourceVersion).toBe("7")
  })
})
