/** Plugins that misbehave: each is told by name, and the others go on. */
import { beforeEach, describe, expect, test } from "vitest"
import { z } from "zod"
import type { MCPInstance } from "../../src/api/kinds/mcp-instance.ts"
import type { MCPTarget } from "../../src/api/kinds/mcp-target.ts"
import type { Pod } from "../../src/api/kinds/pod.ts"
import { isAppError } from "../../src/errors.ts"
import {
  defineHook,
  denied,
  type Hooks,
  noCredential,
  type PluginIdentity,
  requireClaim,
} from "../../src/plugin/contract.ts"
import { createPluginHost, type HostDeps, type PluginHost } from "../../src/plugin/host.ts"
import type { LoadedPlugin } from "../../src/plugin/setup.ts"
import type { Logger } from "../../src/ports/telemetry.ts"
import { createTelemetry } from "../../src/telemetry/telemetry.ts"
import { anInstance } from "../support/build/instance.ts"
import { aTarget } from "../support/build/target.ts"
import { type FakeClock, fakeClock } from "../support/fake-clock.ts"
import { quietTelemetry } from "../support/quiet-telemetry.ts"

let clock: FakeClock
let telemetry: ReturnType<typeof quietTelemetry>
beforeEach(() => {
  clock = fakeClock()
  telemetry = quietTelemetry()
})

const loaded = (exported: unknown, more: Partial<LoadedPlugin> = {}): LoadedPlugin => ({
  source: "sample.mjs",
  firstParty: false,
  exported,
  config: {},
  readable: [],
  ...more,
})
const plugin = (hooks: unknown, more: object = {}) => ({ api: 1, name: "sample", setup: () => hooks, ...more })

const start = (plugins: readonly LoadedPlugin[], deps: Partial<HostDeps> = {}): Promise<PluginHost> =>
  createPluginHost(plugins, { clock, telemetry, ...deps })
const hostOf = (hooks: Hooks | object, deps: Partial<HostDeps> = {}, more: Partial<LoadedPlugin> = {}) =>
  start([loaded(plugin(hooks), more)], deps)

/** The text of the error that a call ends with; it must be a PluginFailed or a denial. */
const failure = async (call: () => unknown): Promise<string> => {
  try {
    await call()
  } catch (error) {
    if (!isAppError(error)) throw error
    return `${error.code}: ${error.message}`
  }
  throw new Error("it did not fail")
}

const alice: PluginIdentity = {
  source: "jwt",
  issuer: "corp",
  subject: "alice",
  groups: ["eng"],
  roles: [],
  scopes: [],
  claims: { tenant: "acme" },
}
const target = (strategy = "sample/own", config?: Record<string, unknown>): MCPTarget =>
  aTarget({ spec: { subjectKey: { strategy, ...(config === undefined ? {} : { config }) } } })
const templated = (...names: string[]): MCPInstance =>
  anInstance({ spec: { podTemplates: names.map((name) => ({ name })) } })
const pod: Pod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "x" },
  spec: { containers: [{ name: "mcp", image: "i" }] },
}
const secretRequest = (from: string) => ({
  target: aTarget(),
  sharer: { kind: "shared", subjectKey: "shared" } as const,
  name: "TOKEN",
  from,
  signal: new AbortController().signal,
})

describe("a plugin that is none stops the start", () => {
  test.each<[string, unknown, string]>([
    ["nothing", undefined, "has no default export that definePlugin made"],
    ["a function", () => ({}), "has no default export"],
    [
      "another contract",
      { api: 2, name: "late", setup: () => ({}) },
      "is written for contract 2, and this program knows 1",
    ],
    ["no contract", { name: "none", setup: () => ({}) }, "is written for contract undefined"],
    ["an unknown key", plugin({}, { priority: 1 }), "has the unknown key 'priority' in what it exports"],
    ["a name in capitals", plugin({}, { name: "Sample" }), "needs a name of a-z"],
    ["no setup", { api: 1, name: "sample" }, "has no function setup"],
    ["a config that is no schema", plugin({}, { config: { claim: "x" } }), "has a config that is no schema"],
    ["no hooks", plugin(undefined), "returned no hooks from setup"],
    [
      "unknown hooks",
      plugin({ subjectKey: {} }),
      "has the unknown key 'subjectKey' in its hooks; did you mean subjectKeys?",
    ],
    [
      "a hook that is no function",
      plugin({ podTemplates: { zone: 1 } }),
      "has no function as the hook podTemplates.zone",
    ],
    [
      "a hook with an unusable name",
      plugin({ podTemplates: { "a/b": () => pod } }),
      "has a hook with the unusable name 'a/b'",
    ],
  ])("%s", async (_name, exported, told) => {
    expect(await failure(() => start([loaded(exported)]))).toContain(told)
  })
  test("a setup that throws", async () => {
    const exported = plugin(
      {},
      {
        setup: () => {
          throw new Error("no disk")
        },
      },
    )
    expect(await failure(() => start([loaded(exported)]))).toBe(
      "PluginFailed: The hook setup of the plugin sample failed. (no disk)",
    )
  })
  test("a setup that does not come back", async () => {
    const starting = failure(() => start([loaded(plugin({}, { setup: () => new Promise(() => {}) }))]))
    await clock.advance(10_000)
    expect(await starting).toContain("The hook setup of the plugin sample did not answer within 10 s")
  })
  test("a configuration that its schema refuses, without its values", async () => {
    const exported = plugin({}, { config: z.strictObject({ password: z.string().max(3) }) })
    const told = await failure(() => start([loaded(exported, { config: { password: "canary-secret" } })]))
    expect(told).toContain("plugins[].config of sample.mjs does not match the schema of the plugin sample: password:")
    expect(told).not.toContain("canary")
  })
  test("a schema that throws, and one that does not come back", async () => {
    const schemaOf = (validate: () => unknown) => ({ "~standard": { version: 1, vendor: "own", validate } })
    const start1 = (validate: () => unknown) => start([loaded(plugin({}, { config: schemaOf(validate) }))])
    const throwing = () => {
      throw new Error("no")
    }
    expect(await failure(() => start1(throwing))).toContain("The hook setup of the plugin sample failed. (no)")
    expect(await failure(() => start1(() => undefined))).toContain("has a schema that gives no result")
    const starting = failure(() => start1(() => new Promise(() => {})))
    await clock.advance(10_000)
    expect(await starting).toContain("The hook setup of the plugin sample did not answer within 10 s")
  })
  test("two plugins of one name, and two with one scheme", async () => {
    expect(await failure(() => start([loaded(plugin({})), loaded(plugin({}))]))).toContain(
      "Two plugins have the name 'sample'",
    )
    const secrets = { secrets: { vault: () => ({ value: "x" }) } }
    const other = plugin(secrets, { name: "other" })
    expect(await failure(() => start([loaded(plugin(secrets)), loaded(other)]))).toContain(
      "Two plugins, sample and other, have the secrets 'vault'",
    )
  })
})

describe("a subject-key strategy", () => {
  test("gives the key, at once if the hook does", async () => {
    const host = await hostOf({
      subjectKeys: { own: ({ identity }: { identity: PluginIdentity }) => identity.claims.tenant },
    })
    expect(host.subjectKey(target(), alice)).toBe("acme")
  })
  test.each<[string, unknown, string | undefined]>([
    ["undefined", undefined, undefined],
    ["an empty text", "", undefined],
    ["a number", 7, "gave something other than text"],
    ["an object", { toString: () => "acme" }, "gave something other than text"],
    ["a text that is no Unicode", "\ud800", "no valid Unicode"],
    ["too long a text", "x".repeat(1_025), "more than 1024 bytes"],
  ])("that gives %s", async (_name, answer, told) => {
    for (const hook of [() => answer, async () => answer]) {
      const host = await hostOf({ subjectKeys: { own: hook } })
      if (told === undefined) expect(await host.subjectKey(target(), alice)).toBeUndefined()
      else
        expect(await failure(() => host.subjectKey(target(), alice))).toContain(
          `The hook subjectKeys.own of the plugin sample ${told === "gave something other than text" ? told : "gave"}`,
        )
      if (told !== undefined) expect(await failure(() => host.subjectKey(target(), alice))).toContain(told)
    }
  })
  test("that throws, at once or later, is named, and its words stay out of the answer", async () => {
    for (const hook of [
      () => {
        throw new Error("canary")
      },
      async () => {
        throw new Error("canary")
      },
    ]) {
      const told = await failure(async () => (await hostOf({ subjectKeys: { own: hook } })).subjectKey(target(), alice))
      expect(told).toBe("PluginFailed: The hook subjectKeys.own of the plugin sample failed.")
    }
  })
  test("that hangs is given up after a second, and its signal is aborted", async () => {
    let stopped = false
    const host = await hostOf({
      subjectKeys: {
        own: (_: unknown, { signal }: { signal: AbortSignal }) =>
          new Promise(() =>
            signal.addEventListener("abort", () => {
              stopped = true
            }),
          ),
      },
    })
    const asked = failure(() => host.subjectKey(target(), alice))
    await clock.advance(1_000)
    expect(await asked).toContain("did not answer within 1 s")
    expect(stopped).toBe(true)
  })
  test("cannot change what it gets", async () => {
    const hook = ({ identity }: { identity: { claims: Record<string, unknown> } }) => {
      identity.claims.tenant = "other"
      return "x"
    }
    const caller = { ...alice, claims: { tenant: "acme" } }
    expect(
      await failure(async () => (await hostOf({ subjectKeys: { own: hook } })).subjectKey(target(), caller)),
    ).toContain("failed")
    expect(caller.claims.tenant).toBe("acme")
  })
  test("gets its target's configuration as its schema yields it, or the request is refused", async () => {
    const own = defineHook(
      z.strictObject({ claim: z.string().default("tenant") }),
      ({ config }: { config: { claim: string } }) => config.claim,
    )
    const host = await hostOf({ subjectKeys: { own } })
    expect(host.subjectKey(target(), alice)).toBe("tenant")
    expect(await failure(() => host.subjectKey(target("sample/own", { claim: 7 }), alice))).toContain(
      "spec.subjectKey.config of",
    )
  })
  test("that denies with a reason is no failure, and its reason is one clean line", async () => {
    const own = () => {
      throw denied("Ask sales\nfor a seat\u001b[31m.")
    }
    const host = await hostOf({ subjectKeys: { own, silent: () => Promise.reject(denied(" ")) } })
    expect(await failure(() => host.subjectKey(target(), alice))).toBe("SubjectKeyDenied: Ask sales for a seat [31m.")
    expect(await failure(() => host.subjectKey(target("sample/silent"), alice))).toBe(
      "SubjectKeyDenied: The hook subjectKeys.silent of the plugin sample denies you, without a reason.",
    )
  })
  test("cannot say what only a resolver can", async () => {
    const own = () => {
      throw noCredential("canary")
    }
    const host = await hostOf({ subjectKeys: { own } })
    expect(await failure(() => host.subjectKey(target(), alice))).toBe(
      "PluginFailed: The hook subjectKeys.own of the plugin sample failed.",
    )
  })
  test("that nobody has is told with the nearest one", async () => {
    const host = await hostOf({ subjectKeys: { tenant: () => "x" } })
    expect(await failure(() => host.subjectKey(target("sample/tenent"), alice))).toContain(
      "did you mean sample/tenant?",
    )
  })
})

describe("a secret resolver", () => {
  test("gets reference, name and sharer, and gives value and expiry", async () => {
    const seen: unknown[] = []
    const host = await hostOf({
      secrets: {
        vault: (input: unknown) => {
          seen.push(input)
          return { value: "v", expiresAt: clock.now() + 5 }
        },
      },
    })
    expect(await host.secret(secretRequest("vault:team/a#b:c"))).toEqual({ value: "v", expiresAt: clock.now() + 5 })
    expect(seen).toEqual([{ reference: "team/a#b:c", name: "TOKEN", sharer: { kind: "shared", subjectKey: "shared" } }])
  })
  test.each<[string, unknown]>([
    ["nothing", undefined],
    ["a text", "canary"],
    ["no value", {}],
    ["an empty value", { value: "" }],
    ["a value that is no text", { value: 7 }],
    ["more than it may", { value: "canary", lease: 1 }],
    ["an expiry that is no number", { value: "canary", expiresAt: "soon" }],
    ["an expiry beyond all calendars", { value: "canary", expiresAt: 1e300 }],
    ["a value with half a surrogate pair", { value: "canary\ud83d" }],
    ["a value that has expired", { value: "canary", expiresAt: 0 }],
  ])("that gives %s is named, without what it gave", async (_name, answer) => {
    const host = await hostOf({ secrets: { vault: () => answer } })
    const told = await failure(() => host.secret(secretRequest("vault:x")))
    expect(told).toContain("The hook secrets.vault of the plugin sample gave")
    expect(told).not.toContain("canary")
  })
  test("says that there is no such credential, with a reason or without, at once or later", async () => {
    const host = await hostOf({
      secrets: {
        vault: () => {
          throw noCredential("Connect your account at https://connect.example/a\u0000")
        },
        late: async () => {
          throw noCredential()
        },
        long: () => Promise.reject(noCredential("x".repeat(10_000))),
      },
    })
    expect(await failure(() => host.secret(secretRequest("vault:x")))).toBe(
      "CredentialMissing: Connect your account at https://connect.example/a",
    )
    expect(await failure(() => host.secret(secretRequest("late:x")))).toBe("CredentialMissing: ")
    expect((await failure(() => host.secret(secretRequest("long:x")))).length).toBeLessThan(530)
  })
  test("reads only the Secrets that the configuration allows it", async () => {
    const readSecret = async (name: string, key: string) => `${name}/${key}`
    const hook = async (
      { reference }: { reference: string },
      { readSecret: read }: { readSecret: (name: string, key: string) => Promise<string> },
    ) => ({ value: await read(reference, "k") })
    const host = await hostOf({ secrets: { own: hook } }, { readSecret }, { readable: ["shared-token"] })
    expect(await host.secret(secretRequest("own:shared-token"))).toEqual({ value: "shared-token/k" })
    expect(await failure(() => host.secret(secretRequest("own:other")))).toBe(
      "PluginFailed: The hook secrets.own of the plugin sample may not read the Secret 'other': name it in plugins[].secrets.",
    )
  })
  test.each<[string, () => unknown]>([
    [
      "throws",
      () => {
        throw new Error("canary")
      },
    ],
    [
      "throws what is no error",
      () => {
        throw "canary"
      },
    ],
    ["rejects", () => Promise.reject(new Error("canary"))],
    [
      "gives what cannot be looked at",
      () => ({
        get value() {
          throw new Error("canary")
        },
      }),
    ],
    [
      "gives a promise of its own that throws",
      () => ({
        // biome-ignore lint/suspicious/noThenProperty: what is tried
        then: () => {
          throw new Error("canary")
        },
      }),
    ],
  ])("that %s is named, without what it threw", async (_name, hook) => {
    const host = await hostOf({ secrets: { vault: hook } })
    expect(await failure(() => host.secret(secretRequest("vault:x")))).toBe(
      "PluginFailed: The hook secrets.vault of the plugin sample failed.",
    )
  })
  test("that hangs is given up after ten seconds; its late failure is nobody's", async () => {
    const late = Promise.withResolvers<never>()
    const host = await hostOf({ secrets: { vault: () => late.promise } })
    const asked = failure(() => host.secret(secretRequest("vault:x")))
    await clock.advance(10_000)
    expect(await asked).toContain("The hook secrets.vault of the plugin sample did not answer within 10 s")
    late.reject(new Error("too late"))
    await Promise.resolve()
  })
  test("ends with whoever waits for it", async () => {
    const host = await hostOf({ secrets: { own: () => new Promise(() => {}) } })
    const waiting = new AbortController()
    const asked = host.secret({ ...secretRequest("own:x"), signal: waiting.signal })
    waiting.abort(new Error("gone"))
    await expect(asked).rejects.toThrow("gone")
  })
})

describe("pod templates", () => {
  const add =
    (zone: string) =>
    ({ pod: before }: { pod: Pod }) => ({
      ...before,
      spec: { ...before.spec, nodeSelector: { ...before.spec.nodeSelector, [zone]: "yes" } },
    })
  test("change the Pod in the target's order", async () => {
    const host = await hostOf({ podTemplates: { one: add("one"), two: add("two") } })
    expect(Object.keys(host.template(pod, templated("sample/two", "sample/one")).spec.nodeSelector ?? {})).toEqual([
      "two",
      "one",
    ])
    expect([...host.podTemplates]).toEqual(["sample/one", "sample/two"])
  })
  test("may set fields to null, which is as good as leaving them out", async () => {
    const nulls = ({ pod: before }: { pod: Pod }) => ({
      ...before,
      status: null,
      spec: {
        ...before.spec,
        securityContext: null,
        containers: before.spec.containers.map((each) => ({ ...each, args: null })),
      },
    })
    const host = await hostOf({ podTemplates: { nulls } })
    const made = host.template(pod, templated("sample/nulls"))
    expect(made).not.toHaveProperty("status")
    expect(made.spec).not.toHaveProperty("securityContext")
    expect(made.spec.containers[0]).not.toHaveProperty("args")
  })
  test.each<[string, unknown, string]>([
    ["nothing", () => undefined, "gave no Pod"],
    ["no containers", ({ pod: before }: { pod: Pod }) => ({ ...before, spec: { containers: [] } }), "gave no Pod"],
    ["no metadata", ({ pod: before }: { pod: Pod }) => ({ ...before, metadata: undefined }), "gave no Pod"],
    [
      "containers that are none",
      ({ pod: before }: { pod: Pod }) => ({ ...before, spec: { containers: [null] } }),
      "gave no Pod",
    ],
    [
      "containers before it that are none",
      ({ pod: before }: { pod: Pod }) => ({ ...before, spec: { ...before.spec, initContainers: {} } }),
      "gave no Pod",
    ],
    ["a promise", async ({ pod: before }: { pod: Pod }) => before, "gave a promise"],
    ["what is no JSON", ({ pod: before }: { pod: Pod }) => ({ ...before, extra: 1n }), "failed"],
    [
      "an error",
      () => {
        throw new Error("no")
      },
      "failed",
    ],
    [
      "the Pod it got, changed",
      ({ pod: before }: { pod: { spec: { nodeName?: string } } }) => {
        before.spec.nodeName = "x"
        return before
      },
      "failed",
    ],
    [
      "a denial, which is for strategies",
      () => {
        throw denied("canary")
      },
      "failed",
    ],
  ])("that give %s are named", async (_name, hook, told) => {
    const host = await hostOf({ podTemplates: { zone: hook } })
    expect(await failure(() => host.template(pod, templated("sample/zone")))).toContain(
      `The hook podTemplates.zone of the plugin sample ${told}`,
    )
  })
})

test("a plugin that floods the log is cut to a hundred lines a minute, which is said", async () => {
  const host = await hostOf({
    subjectKeys: {
      own: (_: unknown, { log }: { log: { info(text: string): void } }) => {
        for (let line = 0; line < 1_000; line++) log.info("noise")
        return "x"
      },
    },
  })
  host.subjectKey(target(), alice)
  expect(telemetry.lines.filter(({ message }) => message === "noise")).toHaveLength(100)
  await clock.advance(60_000)
  host.subjectKey(target(), alice)
  expect(telemetry.lines).toContainEqual(expect.objectContaining({ fields: { plugin: "sample", dropped: 900 } }))
})

test("calls are counted by how they ended, and why one failed is in the log and nowhere else", async () => {
  const measured = createTelemetry({
    level: "warn",
    format: "json",
    write: (line) => lines.push(line),
    processMetrics: false,
  })
  const lines: string[] = []
  const hooks = {
    own: ({ identity }: { identity: PluginIdentity }) => requireClaim(identity, String(identity.claims.wanted)),
    broken: () => {
      throw new Error("canary")
    },
    slow: () => new Promise(() => {}),
  }
  const host = await hostOf({ subjectKeys: hooks, secrets: { slow: hooks.slow } }, { telemetry: measured })
  const caller = (wanted: string) => ({ ...alice, claims: { tenant: "acme", wanted } })
  host.subjectKey(target(), caller("tenant"))
  await failure(() => host.subjectKey(target(), caller("nothing")))
  await failure(() => host.subjectKey(target("sample/broken"), alice, "request-1"))
  const leaving = new AbortController()
  const asked = host.secret({ ...secretRequest("slow:x"), signal: leaving.signal })
  leaving.abort(new Error("gone"))
  await expect(asked).rejects.toThrow("gone")
  const counted = (await measured.metrics()).match(/^reflow_plugin_calls_total.*/gm)
  expect(counted?.sort()).toEqual([
    'reflow_plugin_calls_total{plugin="sample",hook="secrets.slow",result="abandoned"} 1',
    'reflow_plugin_calls_total{plugin="sample",hook="subjectKeys.broken",result="failed"} 1',
    'reflow_plugin_calls_total{plugin="sample",hook="subjectKeys.own",result="answered"} 2',
  ])
  expect(lines).toHaveLength(1)
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({
    message: "a plugin's hook failed",
    plugin: "sample",
    hook: "subjectKeys.broken",
    target: "files",
    request_id: "request-1",
    error: {
      code: "PluginFailed",
      causes: [{ message: "canary" }],
      stack: expect.stringContaining("plugin-host.test.ts"),
    },
  })
})

test("a plugin's lines name it and its hook, and say what was too large for them", async () => {
  const host = await hostOf({
    subjectKeys: {
      own: (_: unknown, { log }: { log: Logger }) => {
        log.info("x".repeat(10_000), { text: "x".repeat(10_000) })
        log.child({ part: 1 }).warn("large", { one: 1n })
        return "x"
      },
    },
  })
  host.subjectKey(target(), alice)
  const names = { plugin: "sample", hook: "subjectKeys.own" }
  const leftOut = { fields: "left out: too large, or no JSON" }
  expect(telemetry.lines).toEqual([
    expect.objectContaining({ message: "x".repeat(2_000), fields: { ...names, ...leftOut } }),
    expect.objectContaining({ message: "large", fields: { ...names, part: 1, ...leftOut } }),
  ])
})

test("one plugin's failure leaves the other plugins' hooks alone", async () => {
  const broken = loaded(
    plugin({
      subjectKeys: {
        own: () => {
          throw new Error("no")
        },
      },
    }),
  )
  const other = loaded(plugin({ subjectKeys: { own: () => "key" } }, { name: "other" }))
  const host = await start([broken, other])
  expect(await failure(() => host.subjectKey(target(), alice))).toContain("plugin sample failed")
  expect(host.subjectKey(target("other/own"), alice)).toBe("key")
})
