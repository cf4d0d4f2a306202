import { beforeAll, describe, expect, test } from "vitest"
import { z } from "zod"
import { systemClock } from "../../../src/adapters/system/clock.ts"
import { defineHook } from "../../../src/plugin/contract.ts"
import { createPluginHost, type PluginHost } from "../../../src/plugin/host.ts"
import { unconfigured } from "../../../src/roles/plugins.ts"
import { quietTelemetry } from "../../support/quiet-telemetry.ts"

const lateSchema = { "~standard": { version: 1, vendor: "own", validate: async (value: unknown) => ({ value }) } }
const brokenSchema = {
  "~standard": {
    version: 1,
    vendor: "own",
    validate: () => {
      throw new Error("canary")
    },
  },
}

let host: PluginHost
beforeAll(async () => {
  const exported = {
    api: 1,
    name: "own",
    setup: () => ({
      subjectKeys: {
        free: () => "key",
        strict: defineHook(z.strictObject({ depth: z.number() }), () => "key"),
        late: { config: lateSchema, run: () => "key" },
        broken: { config: brokenSchema, run: () => "key" },
      },
      secrets: { broker: () => ({ value: "x" }) },
    }),
  }
  const loaded = { source: "own.mjs", firstParty: false, exported, config: {}, readable: [] }
  host = await createPluginHost([...unconfigured([]), loaded], { clock: systemClock, telemetry: quietTelemetry() })
})

const told = (spec: Parameters<PluginHost["faults"]>[0]) =>
  host.faults(spec).map(({ reason, path, message }) => `${reason} ${path.join(".")}: ${message}`)

describe("a target's choices of plugins", () => {
  test("are all right where every name is known and every schema agrees", () => {
    expect(
      told({
        subjectKey: { strategy: "own/strict", config: { depth: 1 } },
        secrets: [{ name: "TOKEN", from: "broker:github" }],
        podTemplates: [{ name: "runtime-class", config: { name: "gvisor" } }],
      }),
    ).toEqual([])
    expect(told({ subjectKey: { strategy: "own/free", config: { anything: true } } })).toEqual([])
    expect(told({})).toEqual([])
  })

  test("are each told where a name is unknown, with what was probably meant", () => {
    expect(
      told({
        subjectKey: { strategy: "own/fre" },
        secrets: [
          { name: "A", from: "broker:x" },
          { name: "B", from: "borker:x" },
        ],
        podTemplates: [{ name: "labels", config: { labels: {} } }, { name: "label" }],
      }),
    ).toEqual([
      "StrategyUnknown subjectKey.strategy: No plugin has the subject-key strategy 'own/fre'; did you mean own/free?",
      "SecretSchemeUnknown secrets.1.from: No plugin has the scheme 'borker'; did you mean broker?",
      "PodTemplateUnknown podTemplates.1.name: No plugin has the pod template 'label'; did you mean labels?",
    ])
  })

  test("are told where a schema refuses the configuration, without its values", () => {
    const faults = told({
      subjectKey: { strategy: "own/strict", config: { depth: "canary" } },
      podTemplates: [{ name: "runtime-class", config: { nome: "gvisor" } }],
    })
    expect(faults).toEqual([
      expect.stringMatching(
        /^PluginConfigInvalid subjectKey\.config: spec\.subjectKey\.config does not match .* depth: /,
      ),
      expect.stringMatching(
        /^PluginConfigInvalid podTemplates\.0\.config: spec\.podTemplates\.0\.config does not match /,
      ),
    ])
    expect(faults.join()).not.toContain("canary")
  })

  test("are told where a schema answers late or throws, without what it threw", () => {
    expect(told({ subjectKey: { strategy: "own/late" } })).toEqual([
      expect.stringContaining("has an asynchronous schema"),
    ])
    expect(told({ subjectKey: { strategy: "own/broken" } })).toEqual([
      "PluginConfigInvalid subjectKey.config: The hook subjectKeys.broken of the plugin own failed.",
    ])
  })
})
