import { describe, expect, test } from "vitest"
import { createMemoryCluster } from "../../../src/adapters/memory/cluster.ts"
import { fromSecretData, secretKind } from "../../../src/api/kinds/kubernetes.ts"
import { type MCPTargetSpec, mcpTargetKind } from "../../../src/api/kinds/mcp-target.ts"
import { labels } from "../../../src/api/names.ts"
import { createCompose, type ResolveSecret } from "../../../src/credentials/compose.ts"
import type { Holder } from "../../../src/credentials/scopes.ts"
import { deleteScope, mergeScope, readScope, type ScopeCall, setScope } from "../../../src/credentials/store.ts"
import { aroundWrites } from "../../support/around-port.ts"
import { target as targetOf } from "../../support/build/who.ts"
import { fakeClock } from "../../support/fake-clock.ts"
import { quietTelemetry } from "../../support/quiet-telemetry.ts"

const namespace = "reflow"
const signal = new AbortController().signal
const alice: Holder = { subjectKey: "user:a", issuer: "corp", subject: "alice", groups: ["eng"], roles: ["dev"] }

const setUp = async (spec: Partial<MCPTargetSpec> = {}) => {
  const clock = fakeClock()
  const cluster = createMemoryCluster({ clock, telemetry: quietTelemetry() })
  const add = () => cluster.create(mcpTargetKind, { ...targetOf(spec), metadata: { name: "github", namespace } })
  const target = await add()
  const scope = (name: ScopeCall["scope"], who?: string, of = target): ScopeCall => ({
    cluster,
    target: of,
    namespace,
    scope: name,
    who: who === undefined ? undefined : { issuer: "corp", name: who },
    signal,
  })
  const valuesOf = async (secret: string) =>
    fromSecretData((await cluster.get(secretKind, { namespace, name: secret }))?.data)
  return { clock, cluster, target, add, scope, valuesOf, compose: createCompose({ cluster, namespace }) }
}

describe("values of a scope", () => {
  test("are kept in a Secret that the target owns and told by name only", async () => {
    const { cluster, target, scope } = await setUp()
    const told = await setScope({ ...scope("user", "alice"), values: { B: "canary", A: "canary" }, now: 0 })
    expect(told).toMatchObject({ names: ["A", "B"], updatedTime: "1970-01-01T00:00:00.000Z" })
    expect(JSON.stringify(told)).not.toContain("canary")
    expect(await readScope(scope("user", "alice"))).toEqual(told)
    const secret = await cluster.get(secretKind, { namespace, name: told.secret })
    expect(secret?.metadata.labels).toMatchObject({ [labels.scope]: "user", [labels.target]: "github" })
    expect(secret?.metadata.ownerReferences?.[0]).toMatchObject({ kind: "MCPTarget", uid: target.metadata.uid })
    expect(secret?.immutable).toBeUndefined()
  })

  test("are replaced as a whole, or merged name by name", async () => {
    const { scope, valuesOf } = await setUp()
    const { secret } = await setScope({ ...scope("default"), values: { A: "1", B: "2" } })
    await setScope({ ...scope("default"), values: { B: "3", C: "4" } })
    expect(await valuesOf(secret)).toEqual({ B: "3", C: "4" })
    await mergeScope({ ...scope("default"), values: { B: null, D: "5" } })
    expect(await valuesOf(secret)).toEqual({ C: "4", D: "5" })
  })

  test("have a digest that changes with a value and cannot be compared between scopes", async () => {
    const { scope } = await setUp()
    const one = await setScope({ ...scope("default"), values: { A: "1" } })
    expect((await setScope({ ...scope("default"), values: { A: "1" } })).digest).toBe(one.digest)
    expect((await setScope({ ...scope("default"), values: { A: "2" } })).digest).not.toBe(one.digest)
    expect((await setScope({ ...scope("user", "alice"), values: { A: "1" } })).digest).not.toBe(one.digest)
  })

  test("that two write at the same time are not lost", async () => {
    const { scope, valuesOf } = await setUp()
    const writes = ["A", "B", "C"].map((name) => mergeScope({ ...scope("default"), values: { [name]: name } }))
    const [first] = await Promise.all(writes)
    expect(await valuesOf(first?.secret ?? "")).toEqual({ A: "A", B: "B", C: "C" })
  })

  test("that two replace at the same time are one's or the other's, never a mixture", async () => {
    const { scope } = await setUp()
    await setScope({ ...scope("default"), values: { X: "0" } })
    await Promise.all(["A", "B"].map((name) => setScope({ ...scope("default"), values: { [name]: "1" } })))
    expect((await readScope(scope("default")))?.names).toHaveLength(1)
  })

  test("narrower than the target's boundary are refused", async () => {
    const { scope } = await setUp({ isolationBoundary: "shared" })
    await expect(setScope({ ...scope("user", "alice"), values: { A: "1" } })).rejects.toMatchObject({
      code: "ScopeTooNarrow",
      data: { allowed: ["default"] },
    })
  })

  test("of users may only be declared ones, and are checked before anything is written", async () => {
    const { scope } = await setUp({ credentials: [{ name: "TOKEN" }] })
    const call = { ...scope("user", "alice"), declaredOnly: true }
    await expect(setScope({ ...call, values: { OTHER: "1" } })).rejects.toMatchObject({ code: "ValidationFailed" })
    await expect(mergeScope({ ...call, values: { OTHER: "1" } })).rejects.toMatchObject({ code: "ValidationFailed" })
    expect(await readScope(call)).toBeUndefined()
    await mergeScope({ ...call, values: { TOKEN: "1" } })
    expect((await readScope(call))?.names).toEqual(["TOKEN"])
  })

  test("can be removed, twice too", async () => {
    const { scope } = await setUp()
    await setScope({ ...scope("default"), values: { A: "1" } })
    expect(await deleteScope(scope("default"))).toBe("deleted")
    expect(await deleteScope(scope("default"))).toBe("absent")
    expect(await readScope(scope("default"))).toBeUndefined()
  })

  test("of a deleted target are nobody's, also while they still lie about", async () => {
    const { cluster, scope, target, compose } = await setUp()
    const former = { ...target, metadata: { ...target.metadata, uid: "former" } }
    const { secret } = await setScope({ ...scope("default"), values: { A: "new" } })
    const owner = { apiVersion: target.apiVersion, kind: target.kind, name: "github", uid: former.metadata.uid }
    const ref = { namespace, name: secret }
    await cluster.mergePatch(secretKind, ref, { metadata: { ownerReferences: [owner, { ...owner, kind: "Other" }] } })
    expect(await readScope(scope("default"))).toBeUndefined()
    expect((await compose(target, alice, signal)).values).toEqual({})
  })

  test("that lost their owner are nobody's too, and the next write makes new ones; one that a person made is the target's", async () => {
    const { cluster, scope } = await setUp()
    const { secret, digest } = await setScope({ ...scope("default"), values: { A: "1", B: "2" } })
    const ref = { namespace, name: secret }
    await cluster.mergePatch(secretKind, ref, { metadata: { ownerReferences: null } })
    expect(await readScope(scope("default"))).toBeUndefined()
    const written = await setScope({ ...scope("default"), values: { A: "1" } })
    expect(written).toMatchObject({ secret, names: ["A"] })
    expect(written.digest).not.toBe(digest)
    await cluster.mergePatch(secretKind, ref, { metadata: { ownerReferences: null, labels: null } })
    expect(await readScope(scope("default"))).toMatchObject({ names: ["A"] })
  })

  test("that lost their owner are removed only as they were found: what another one wrote in their place stays", async () => {
    const { cluster, scope, valuesOf } = await setUp()
    const { secret } = await setScope({ ...scope("default"), values: { A: "old" } })
    const ref = { namespace, name: secret }
    await cluster.mergePatch(secretKind, ref, { metadata: { ownerReferences: null } })
    let replaced = false
    const racing = aroundWrites(cluster, async ({ verb }, run) => {
      if (verb === "delete" && !replaced) {
        replaced = true
        await setScope({ ...scope("default"), values: { B: "theirs" } })
      }
      return await run()
    })
    await mergeScope({ ...scope("default"), cluster: racing, values: { C: "ours" } })
    expect(replaced).toBe(true)
    expect(await valuesOf(secret)).toEqual({ B: "theirs", C: "ours" })
  })
})

describe("a composition", () => {
  test("lets the narrower scope win, and records every scope it looked at", async () => {
    const { scope, compose, target } = await setUp()
    const all = { A: "default", B: "default", C: "default", D: "default" }
    const { secret } = await setScope({ ...scope("default"), values: all })
    await setScope({ ...scope("role", "dev"), values: { B: "role", C: "role", D: "role" } })
    await setScope({ ...scope("group", "eng"), values: { C: "group", D: "group" } })
    await setScope({ ...scope("user", "alice"), values: { D: "user" } })
    const { values, scopes } = await compose(target, alice, signal)
    expect(values).toEqual({ A: "default", B: "role", C: "group", D: "user" })
    expect(scopes).toHaveLength(4)
    expect(scopes[0]).toBe(secret)
    expect((await compose(target, { ...alice, subject: "bob" }, signal)).values.D).toBe("group")
  })

  const order = ["default", "role", "group", "user"] as const
  const who = { default: undefined, role: "dev", group: "eng", user: "alice" } as const
  const subsets = Array.from({ length: 2 ** order.length }, (_, bits) => order.filter((_, bit) => (bits >> bit) & 1))
  test.each(subsets.map((set) => [set.join(", ") || "no scope", set.at(-1) ?? "nobody", set] as const))(
    "of a name that is set in %s has the value of %s",
    async (_, winner, set) => {
      const { scope, compose, target } = await setUp()
      // written from the strongest to the weakest: it is not the last write that wins
      for (const each of set.toReversed()) await setScope({ ...scope(each, who[each]), values: { TOKEN: each } })
      expect((await compose(target, alice, signal)).values).toEqual(winner === "nobody" ? {} : { TOKEN: winner })
    },
  )

  test("never takes a user's value into an instance that others share", async () => {
    const { scope, target, compose } = await setUp()
    await setScope({ ...scope("user", "alice"), values: { A: "mine" } })
    await setScope({ ...scope("role", "dev"), values: { B: "role" } })
    const shared = { ...target, spec: { ...target.spec, isolationBoundary: "shared" as const } }
    const perRole = { ...target, spec: { ...target.spec, isolationBoundary: "per_role" as const } }
    expect((await compose(shared, alice, signal)).values).toEqual({})
    expect((await compose(perRole, { ...alice, shared: "dev" }, signal)).values).toEqual({ B: "role" })
  })

  test("says which required credentials are missing", async () => {
    const { scope, target, compose } = await setUp({
      credentials: [{ name: "A", required: true }, { name: "B", required: true }, { name: "C" }],
    })
    await setScope({ ...scope("default"), values: { B: "1" } })
    await expect(compose(target, alice, signal)).rejects.toMatchObject({
      code: "CredentialMissing",
      data: { names: ["A"] },
    })
  })

  test("of a Secret that somebody filled with a refused name is told, without the value", async () => {
    const { cluster, scope, target, compose } = await setUp()
    const { secret } = await setScope({ ...scope("default"), values: { A: "1" } })
    const data = { LD_PRELOAD: Buffer.from("canary").toString("base64") }
    await cluster.mergePatch(secretKind, { namespace, name: secret }, { data })
    const error = await compose(target, alice, signal).catch((each) => each)
    expect(error).toMatchObject({ code: "InstanceFailed", data: { reason: "CredentialInvalid" } })
    expect(JSON.stringify(error) + String(error)).not.toContain("canary")
  })

  test("begins with what resolvers say, and ends with the earliest of their expiries", async () => {
    const { cluster, scope, target } = await setUp({
      secrets: [
        { name: "V", from: "vault:a#b" },
        { name: "W", from: "vault:c#d" },
      ],
    })
    await setScope({ ...scope("default"), values: { W: "own" } })
    const resolve: ResolveSecret = async ({ from, name }) => ({ value: from, expiresAt: name === "V" ? 2_000 : 1_000 })
    const composed = await createCompose({ cluster, namespace, resolve })(target, alice, signal)
    expect(composed).toMatchObject({ values: { V: "vault:a#b", W: "own" }, expiresAt: 1_000 })
  })

  test("of a target that asks for a resolver that is not there fails", async () => {
    const { target, compose } = await setUp({ secrets: [{ name: "V", from: "vault:a#b" }] })
    await expect(compose(target, alice, signal)).rejects.toMatchObject({ code: "PluginFailed" })
  })
})

describe("a Secret that somebody else wrote", () => {
  const write = async (data: Readonly<Record<string, string>>) => {
    const world = await setUp()
    const { secret } = await setScope({ ...world.scope("default"), values: { A: "1" } })
    await world.cluster.mergePatch(secretKind, { namespace, name: secret }, { data })
    return world
  }
  test("with bytes that are no text is refused: an environment would get other ones", async () => {
    const { compose, target, scope } = await write({ KEY: Buffer.from([0x63, 0xff, 0xfe]).toString("base64") })
    await expect(compose(target, alice, signal)).rejects.toMatchObject({
      code: "InstanceFailed",
      message: "A credential of github cannot be used: values.KEY must be UTF-8.",
      data: { reason: "CredentialInvalid" },
    })
    await setScope({ ...scope("user", "alice"), values: { KEY: "text" } })
    expect((await compose(target, alice, signal)).values).toEqual({ A: "1", KEY: "text" })
  })
  test("with a name that every object inherits is composed as it stands", async () => {
    const data = JSON.parse(`{"__proto__":"${btoa("x")}","constructor":"${btoa("y")}"}`)
    const { compose, target } = await write(data)
    const { values } = await compose(target, alice, signal)
    expect(Object.entries(values).sort()).toEqual([
      ["A", "1"],
      ["__proto__", "x"],
      ["constructor", "y"],
    ])
  })
})
