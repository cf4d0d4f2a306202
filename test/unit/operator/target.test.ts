import { describe, expect, it } from "vitest"
import type { MCPTargetSpec } from "../../../src/api/kinds/mcp-target.ts"
import type { BridgeSupply } from "../../../src/operator/desired/bridge-delivery.ts"
import { targetStatus } from "../../../src/operator/target.ts"
import { aSupply } from "../../support/build/bridge.ts"
import { anInstance } from "../../support/build/instance.ts"
import { msAfter } from "../../support/build/metadata.ts"
import { someSettings } from "../../support/build/settings.ts"
import { aTarget, type TargetParts } from "../../support/build/target.ts"

const inPhase = (phase: "Ready" | "Failed" | "Starting") => anInstance({ status: { phase } })
const told = (parts: TargetParts, instances = [inPhase("Ready")]) => {
  const status = targetStatus({ target: aTarget(parts), instances, settings: someSettings(), now: msAfter(0) })
  return [status.conditions?.[0]?.reason, status.conditions?.[1]?.reason]
}

describe("a target", () => {
  it("counts its instances", () => {
    const instances = [inPhase("Ready"), inPhase("Ready"), inPhase("Failed"), inPhase("Starting")]
    const snapshot = { target: aTarget(), instances, settings: someSettings(), now: msAfter(0) }
    const status = targetStatus(snapshot)
    expect(status).toMatchObject({ instances: 4, ready: 2, failed: 1, observedGeneration: 1 })
    expect(targetStatus({ ...snapshot, target: aTarget({ status }), now: msAfter(60) })).toEqual(status)
  })

  it.each<[string, TargetParts, readonly string[]]>([
    ["is accepted and available", {}, ["Accepted", "Available"]],
    ["is not available while it is paused", { spec: { paused: true } }, ["Accepted", "Paused"]],
    ["of a bad spec is not accepted", { spec: { port: 0 } }, ["InvalidSpec", "NotAccepted"]],
    ["that wants root", { spec: { security: { runAsUser: 0 } } }, ["PodForbidden", "NotAccepted"]],
    ["that wants the group of root", { spec: { security: { fsGroup: 0 } } }, ["PodForbidden", "NotAccepted"]],
    [
      "whose environment doubles",
      { spec: { args: ["$(A)".repeat(1_000)], env: [{ name: "A", value: "a".repeat(132) }] } },
      ["InvalidSpec", "NotAccepted"],
    ],
  ])("%s", (_, parts, reasons) => {
    expect(told(parts)).toEqual(reasons)
  })

  it("that speaks stdin and stdout is not accepted where no bridge can get to it, and told what would help", () => {
    const judge = (bridge: BridgeSupply | undefined, spec: Partial<MCPTargetSpec>) => {
      const settings = someSettings({ bridge })
      return targetStatus({ target: aTarget({ spec }), instances: [], settings, now: msAfter(0) }).conditions?.[0]
    }
    const stdio = { command: ["server"], stdio: {} }
    for (const bridge of [undefined, aSupply(undefined)]) {
      expect(judge(bridge, stdio)).toMatchObject({ status: "False", reason: "InvalidSpec" })
      expect(judge(bridge, stdio)?.message).toMatch(/^stdio needs the bridge: set kubernetes\.bridge\.image /)
      expect(judge(bridge, {})).toMatchObject({ status: "True" })
    }
    expect(judge(aSupply({ kind: "Copy", image: "bridge:1" }), stdio)).toMatchObject({ status: "True" })
  })

  it("of a choice that no plugin has is not accepted, in the plugin's own words", () => {
    const fault = { reason: "StrategyUnknown", path: ["subjectKey", "strategy"], message: "No such strategy." } as const
    const settings = someSettings({ pluginFaults: ({ subjectKey }) => (subjectKey === undefined ? [] : [fault]) })
    const judge = (parts: TargetParts) =>
      targetStatus({ target: aTarget(parts), instances: [], settings, now: msAfter(0) }).conditions?.slice(0, 2)
    expect(judge({ spec: { subjectKey: { strategy: "tenent/tenant" } } })).toMatchObject([
      { type: "Accepted", status: "False", reason: "StrategyUnknown", message: "No such strategy." },
      { type: "Available", status: "False", reason: "NotAccepted" },
    ])
    expect(judge({})).toMatchObject([{ status: "True" }, { status: "True" }])
  })

  it("tells entries of its access lists that can match nobody, and stays accepted", () => {
    const judge = (knownIssuers: readonly string[] | undefined, groups: string[]) => {
      const settings = someSettings({ knownIssuers })
      const target = aTarget({ spec: { access: { groups } } })
      return targetStatus({ target, instances: [], settings, now: msAfter(0) }).conditions
    }
    expect(judge(["corp", "partner"], ["corp/eng", "eng"])).toMatchObject([
      { type: "Accepted", status: "True" },
      { type: "Available", status: "True" },
      {
        type: "AccessResolved",
        status: "False",
        reason: "EntryMatchesNobody",
        message: expect.stringContaining("'eng' names none"),
      },
    ])
    expect(judge(["corp"], ["eng"])?.[2]).toMatchObject({ status: "True", reason: "AccessResolved" })
    expect(judge(undefined, ["eng"])).toHaveLength(2)
    const many = judge(
      ["corp", "partner"],
      Array.from({ length: 100 }, () => "x".repeat(1_000)),
    )?.[2]
    expect(many?.message).toContain("97 more are like that.")
    expect(many?.message.length).toBeLessThanOrEqual(1_024)
  })

  it("is not available when every instance fails, but is without any", () => {
    expect(told({}, [inPhase("Failed"), inPhase("Failed")])[1]).toBe("AllInstancesFail")
    expect(told({}, [inPhase("Failed"), inPhase("Starting")])[1]).toBe("Available")
    expect(told({}, [])[1]).toBe("Available")
  })
})
