import { describe, expect, it } from "vitest"
import type { MCPInstance } from "../../../src/api/kinds/mcp-instance.ts"
import type { MCPTarget } from "../../../src/api/kinds/mcp-target.ts"
import type { Pod } from "../../../src/api/kinds/pod.ts"
import { createPlanner } from "../../../src/operator/planner.ts"
import { createSightings } from "../../../src/operator/sightings.ts"
import { createView } from "../../../src/operator/view.ts"
import { aCondition, anInstance } from "../../support/build/instance.ts"
import { aPod } from "../../support/build/pod.ts"
import { someSettings } from "../../support/build/settings.ts"
import { aTarget } from "../../support/build/target.ts"
import { fakeClock } from "../../support/fake-clock.ts"
import { shownReflection } from "../../support/shown-reflection.ts"

const world = (limit: number) => {
  const clock = fakeClock()
  const [instances, targets, pods] = [
    shownReflection<MCPInstance>(),
    shownReflection<MCPTarget>(),
    shownReflection<Pod>(),
  ]
  const views = {
    instances: createView(instances.reflection, clock),
    targets: createView(targets.reflection, clock),
    pods: createView(pods.reflection, clock),
  }
  let counts = 0
  const counted = {
    ...views.instances,
    items: () => {
      counts += 1
      return views.instances.items()
    },
  }
  const sightings = createSightings(clock)
  const settings = { ...someSettings({ max_instances: limit }), podTemplates: new Set<string>() }
  const planner = createPlanner({ ...views, instances: counted, sightings, clock, settings })
  const see = (instance: MCPInstance): MCPInstance => {
    instances.tell("modified", instance)
    sightings.see(instance)
    planner.see(instance)
    return instance
  }
  const named = (name: string, seconds = 0): MCPInstance => {
    const creationTimestamp = new Date(clock.now() + seconds * 1_000).toISOString()
    return anInstance({ name, metadata: { uid: `uid-${name}`, creationTimestamp } })
  }
  return {
    clock,
    planner,
    pods,
    targets,
    named,
    see,
    make: (name: string, seconds?: number) => see(named(name, seconds)),
    /** What becomes of one that is told that it has a place: that, its Pod, its status. */
    admit: (instance: MCPInstance): void => {
      planner.reserve(instance.metadata.uid ?? "")
      pods.tell("added", aPod({ of: instance }))
      planner.changed(instance.metadata.uid)
      see({ ...instance, status: { conditions: [aCondition("Admitted", "True", "Admitted")], phase: "Pending" } })
    },
    remove: (instance: MCPInstance): void => {
      instances.tell("deleted", instance)
      planner.forget(instance.metadata.uid ?? "")
    },
    ask: (instance: MCPInstance): string => planner.placeOf(instance).place.kind,
    counts: () => counts,
  }
}

describe("the planner", () => {
  it("reads all instances once for hundreds that come and start at once, while there is room for all", () => {
    const { make, admit, ask, counts } = world(1_000)
    const known = Array.from({ length: 200 }, (_, index) => make(`known-${index}`))
    for (const instance of known) {
      expect(ask(instance)).toBe("granted")
      admit(instance)
      const newcomer = make(`late-${instance.metadata.name}`)
      expect(ask(newcomer)).toBe("granted")
      admit(newcomer)
    }
    expect(counts()).toBe(1)
  })

  it("never promises a place twice, whatever comes in one moment", () => {
    const { make, admit, ask } = world(3)
    const places = Array.from({ length: 6 }, (_, index) => {
      const instance = make(`one-${index}`)
      const place = ask(instance)
      if (place === "granted") admit(instance)
      return place
    })
    expect(places).toEqual(["granted", "granted", "granted", "queued", "queued", "queued"])
  })

  it("counts places that were promised and not taken yet", () => {
    const { make, ask } = world(2)
    const three = ["a", "b", "c"].map((name) => make(name))
    expect(three.map(ask)).toEqual(["granted", "granted", "queued"])
  })

  it("gives the last places by age, even if a younger one asks first", () => {
    const { make, named, see, ask } = world(2)
    expect(ask(make("first"))).toBe("granted")
    const [old, young] = [named("old", 1), named("young", 2)]
    see(young)
    see(old)
    expect([ask(young), ask(old)]).toEqual(["queued", "granted"])
  })

  it("keeps the limit of a target, and a change of it at once", () => {
    const { make, ask, targets, planner } = world(100)
    targets.tell("added", aTarget({ spec: { maxInstances: 1 } }))
    const [a, b] = [make("a"), make("b")]
    expect([ask(a), ask(b)]).toEqual(["granted", "queued"])
    targets.tell("modified", aTarget({ spec: { maxInstances: 2 } }))
    planner.changed()
    expect([ask(a), ask(b)]).toEqual(["granted", "granted"])
  })

  it("gives the place of one that went to the next at once, but not while its Pod ends", () => {
    const { make, admit, remove, ask, pods, planner } = world(1)
    const first = make("first")
    expect(ask(first)).toBe("granted")
    admit(first)
    const next = make("next")
    expect(ask(next)).toBe("queued")
    remove(first)
    expect(ask(next)).toBe("queued")
    pods.tell("deleted", aPod({ of: first }))
    planner.changed(first.metadata.uid)
    expect(ask(next)).toBe("granted")
  })

  it("counts the Pod of one that went while there was room", () => {
    const { make, admit, remove, ask } = world(2)
    const [first, second] = [make("first"), make("second")]
    for (const instance of [first, second]) {
      expect(ask(instance)).toBe("granted")
      admit(instance)
    }
    remove(first)
    expect(ask(make("third"))).toBe("queued")
  })
})
