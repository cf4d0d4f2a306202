import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { mcpTargetKind } from "../../src/api/kinds/mcp-target.ts"
import { type OperatorWorld, operatorWorld } from "../support/operator-world.ts"

let world: OperatorWorld
beforeEach(() => {
  world = operatorWorld()
})
afterEach(() => world.close())

const minute = 60
const asRoot = { security: { runAsUser: 0 } }

describe("an instance whose spec is refused", () => {
  it("goes after five minutes, if nobody waits for it", async () => {
    await world.start()
    await world.make({ spec: asRoot })
    await world.pass(4 * minute)
    expect(await world.reason("Admitted")).toBe("PodForbidden")
    await world.pass(1 * minute)
    expect(await world.instance()).toBeUndefined()
  })

  it("stays while somebody waits for it", async () => {
    await world.start()
    await world.make({ spec: asRoot })
    for (let half = 0; half < 20; half++) {
      await world.touch({ inUseBy: { "gateway-a": new Date(world.clock.now()).toISOString() } })
      await world.pass(30)
    }
    expect(await world.reason("Admitted")).toBe("PodForbidden")
  })

  it("goes too if it was refused while its server ran: what runs is not what is asked for", async () => {
    await world.start()
    await world.make()
    await world.pass(5)
    expect((await world.status()).phase).toBe("Ready")
    await world.edit({ spec: asRoot })
    await world.pass(5)
    expect(await world.status()).toMatchObject({ phase: "Failed", failure: { reason: "PodForbidden" } })
    expect(await world.livePods()).toHaveLength(1)
    await world.pass(6 * minute)
    expect(await world.instance()).toBeUndefined()
    expect(await world.livePods()).toEqual([])
  })

  it("follows its target when that is corrected", async () => {
    await world.start()
    const target = await world.makeTarget({ spec: asRoot })
    await world.make({ spec: { ...asRoot, targetUID: target.metadata.uid ?? "", targetGeneration: 1 } })
    await world.pass(5)
    expect(await world.reason("Admitted")).toBe("PodForbidden")
    const { namespace = "", name } = target.metadata
    await world.cluster.mergePatch(mcpTargetKind, { namespace, name }, { spec: { security: null } })
    await world.pass(10)
    expect(await world.status()).toMatchObject({ phase: "Ready" })
  })

  it("is restarted when that is asked for: another one may be made from a corrected spec", async () => {
    await world.start()
    await world.make({ spec: asRoot })
    await world.pass(5)
    await world.edit({ spec: { restartTime: new Date(world.clock.now()).toISOString() } })
    await world.pass(5)
    expect(await world.instance()).toBeUndefined()
  })
})
