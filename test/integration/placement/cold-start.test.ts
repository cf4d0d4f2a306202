import { describe, expect, test } from "vitest"
import { fromSecretData, secretKind } from "../../../src/api/kinds/kubernetes.ts"
import { mcpInstanceKind } from "../../../src/api/kinds/mcp-instance.ts"
import { mcpTargetKind } from "../../../src/api/kinds/mcp-target.ts"
import { labels } from "../../../src/api/names.ts"
import { setScope } from "../../../src/credentials/store.ts"
import type { PlacementPort } from "../../../src/placement/port.ts"
import { condition, readyStatus } from "../../support/build/placed.ts"
import { identity, target as targetOf } from "../../support/build/who.ts"
import {
  ask,
  bringUp,
  conditions,
  list,
  namespace,
  only,
  pod,
  remove,
  report,
  requestOf,
  secrets,
  service,
  signal,
  world,
} from "../../support/placement-world.ts"

describe("a cold start", () => {
  test("makes an immutable Secret and an instance that owns it, and goes on at the first answer, before Ready", async () => {
    const w = await world({ credentials: [{ name: "TOKEN" }] })
    const values = { TOKEN: "canary" }
    await setScope({
      cluster: w.cluster,
      target: w.target,
      namespace,
      scope: "default",
      who: undefined,
      values,
      signal,
    })
    const asked = ask(w)
    await w.clock.advance(0)
    const instance = await only(w)
    const secret = (await secrets(w)).find(({ metadata }) => metadata.name === instance.spec.secretName)
    expect(secret?.immutable).toBe(true)
    expect(fromSecretData(secret?.data)).toEqual(values)
    expect(secret?.metadata.ownerReferences).toEqual([
      {
        apiVersion: "mcp.reflow.io/v1alpha1",
        kind: "MCPInstance",
        name: instance.metadata.name,
        uid: instance.metadata.uid,
      },
    ])
    expect(instance.metadata.annotations?.[labels.subject]).toBe("corp/alice")
    expect(instance.metadata.annotations?.[labels.credentialScopes]?.split(",")).toHaveLength(2)
    expect(JSON.stringify(instance)).not.toContain("canary")

    await report(w, {
      phase: "Starting",
      podURL: pod,
      incarnation: "p.0",
      timings: { queue: 0.1 },
      ...conditions(condition("Ready", "False", "ContainerStarting")),
    })
    await w.clock.advance(1_000)
    expect(asked.placed).toBeUndefined()
    w.answering.add(pod)
    await w.clock.advance(250)
    expect(asked.placed).toMatchObject({
      instance: instance.metadata.name,
      incarnation: "p.0",
      timings: { queue: 0.1 },
      waitedMs: 1_084,
    })
    expect(asked.placed?.url.href).toBe(pod)
    w.answering.add(service)
    await report(w, readyStatus({ url: service, podURL: pod, incarnation: "p.0", timings: { queue: 0.1 } }))
    await w.clock.advance(1_000)
    const warm = ask(w)
    await w.clock.advance(0)
    expect(warm.placed).toMatchObject({ incarnation: "p.0" })
    expect(Object.keys(warm.placed ?? {}).filter((key) => ["timings", "waitedMs"].includes(key))).toEqual([])
  })

  test("goes through the Service from the Service's own first answer on, also if its address comes later", async () => {
    const w = await world()
    const asked = ask(w)
    await w.clock.advance(0)
    w.answering.add(pod)
    await report(w, { phase: "Starting", podURL: pod, incarnation: "p.0" })
    await asked.promise
    expect(asked.placed?.url.href).toBe(pod)
    await report(w, readyStatus({ url: service, podURL: pod, incarnation: "p.0" }))
    const [second, elsewhere] = [ask(w), ask(w, { by: w.addReplica().placement })]
    await w.clock.advance(1_000)
    expect([second.placed, elsewhere.placed]).toEqual([undefined, undefined])
    w.answering.add(service)
    // it was refused before, so that a second answer must confirm the first
    await w.clock.advance(550)
    expect([second.placed?.url.href, elsewhere.placed?.url.href]).toEqual([service, service])
    expect((await w.placement.place(requestOf(w))).url.href).toBe(service)
  })

  test("waits no longer than five seconds for a Service that does not route while the Pod answers", async () => {
    const w = await world()
    const asked = ask(w)
    await w.clock.advance(0)
    w.answering.add(pod)
    await report(w, { phase: "Starting", podURL: pod, incarnation: "p.0" })
    await asked.promise
    await report(w, { phase: "Ready", url: service })
    const second = ask(w)
    await w.clock.advance(4_900)
    expect(second.placed).toBeUndefined()
    await w.clock.advance(100)
    expect(second.placed?.url.href).toBe(pod)
  })

  test("of 100 parallel first requests over three replicas makes one instance and leaves one Secret", async () => {
    const w = await world()
    const three = [w.placement, w.addReplica().placement, w.addReplica().placement]
    const asked = Array.from({ length: 100 }, (_, index) => ask(w, { by: three[index % 3] as PlacementPort }))
    await w.clock.advance(0)
    for (const { calls } of w.replicas)
      expect(calls.filter((call) => call === "create MCPInstance").length).toBeLessThanOrEqual(1)
    w.answering.add(pod).add(service)
    await report(w, readyStatus({ url: service, podURL: pod }))
    await w.clock.advance(300)
    expect(asked.filter(({ placed }) => placed !== undefined)).toHaveLength(100)
    expect((await secrets(w)).map(({ metadata }) => metadata.name)).toEqual([(await only(w)).spec.secretName])
  })

  test("gives two users two instances with their own values, and a shared target's users one without either's", async () => {
    const w = await world()
    const set = (name: string) =>
      setScope({
        cluster: w.cluster,
        target: w.target,
        namespace,
        scope: "user",
        who: { issuer: "corp", name },
        values: { T: name },
        signal,
      })
    await Promise.all([set("alice"), set("bob")])
    ask(w)
    ask(w, { who: identity({ subject: "bob" }) })
    await w.clock.advance(0)
    const all = await list(w)
    expect(all).toHaveLength(2)
    const composed = await Promise.all(
      all.map(({ spec }) => w.cluster.get(secretKind, { namespace, name: spec.secretName ?? "" })),
    )
    expect(composed.map((secret) => fromSecretData(secret?.data).T).sort()).toEqual(["alice", "bob"])

    const shared = await w.cluster.create(mcpTargetKind, {
      ...targetOf({ isolationBoundary: "shared" }),
      metadata: { name: "docs", namespace },
    })
    await w.clock.advance(0)
    ask(w, { of: shared })
    ask(w, { of: shared, who: identity({ subject: "bob" }) })
    await w.clock.advance(0)
    expect((await list(w)).filter(({ spec }) => spec.targetName === "docs")).toHaveLength(1)
  })

  test("goes on when the first who asked has left, and the next joins it", async () => {
    const w = await world()
    const client = new AbortController()
    const first = ask(w, { signal: client.signal })
    client.abort()
    await first.promise
    expect(first.error).toMatchObject({ name: "AbortError" })
    await w.clock.advance(0)
    await only(w)
    const placed = await bringUp(w)
    expect(placed.instance).toBe((await only(w)).metadata.name)
  })

  test("without a required credential makes nothing and says which one and where to set it", async () => {
    const w = await world({ credentials: [{ name: "TOKEN", required: true }, { name: "OTHER" }] })
    const asked = ask(w)
    await w.clock.advance(0)
    expect(asked.error).toMatchObject({
      code: "CredentialMissing",
      data: { names: ["TOKEN"], url: "https://x/api/targets/github/env/me" },
    })
    expect(await list(w)).toHaveLength(0)
    expect(await secrets(w)).toHaveLength(0)
  })

  test("that fails because the API server refuses leaves no Secret behind", async () => {
    const w = await world({ idleTTL: "30m" })
    const broken = { ...w.target, spec: { ...w.target.spec, idleTTL: "1s" } }
    const asked = ask(w, { of: broken })
    await w.clock.advance(0)
    expect(asked.error).toMatchObject({ code: "InstanceFailed", data: { reason: "CreateRefused" } })
    expect(await secrets(w)).toHaveLength(0)
  })

  test("of a paused target is refused, and so is a warm request", async () => {
    const w = await world()
    await bringUp(w)
    const paused = { ...w.target, spec: { ...w.target.spec, paused: true } }
    const asked = ask(w, { of: paused })
    await asked.promise
    expect(asked.error).toMatchObject({ code: "TargetPaused" })
  })

  test("meets an object of its name that belongs to somebody else: a conflict, told and left alone", async () => {
    const w = await world()
    const client = new AbortController()
    ask(w, { signal: client.signal })
    await w.clock.advance(0)
    client.abort()
    const { metadata, spec, apiVersion, kind } = await only(w)
    await remove(w)
    const { name } = metadata
    const stranger = { apiVersion, kind, metadata: { name, namespace }, spec: { ...spec, subjectKey: "user:other" } }
    await w.cluster.create(mcpInstanceKind, stranger)
    const asked = ask(w)
    await w.clock.advance(0)
    expect(asked.error).toMatchObject({ code: "NameConflict" })
    w.cache.hidden = true
    const unseen = w.addReplica()
    const blind = ask(w, { by: unseen.placement })
    await w.clock.advance(0)
    expect(blind.error).toMatchObject({ code: "NameConflict" })
    expect(await secrets(w)).toHaveLength(0)
    expect((await only(w)).spec.subjectKey).toBe("user:other")
  })
})
