import { afterEach, describe, expect, onTestFinished, test } from "vitest"
import { createKubeCluster, type KubeClusterDeps } from "../../../../src/adapters/kube/cluster.ts"
import { systemClock } from "../../../../src/adapters/system/clock.ts"
import type { KubeObject } from "../../../../src/api/kinds/kind.ts"
import { secretKind } from "../../../../src/api/kinds/kubernetes.ts"
import { mcpTargetKind } from "../../../../src/api/kinds/mcp-target.ts"
import { podKind } from "../../../../src/api/kinds/pod.ts"
import { podOf, secretOf, targetOf } from "../../../support/contracts/objects.ts"
import { fakeClock } from "../../../support/fake-clock.ts"
import { quietTelemetry } from "../../../support/quiet-telemetry.ts"
import {
  answer,
  refuse,
  reset,
  type Script,
  type ScriptedApi,
  scriptedApi,
  silence,
} from "../../../support/scripted-api.ts"

const ref = { namespace: "reflow", name: "x" }
const found = answer(200, { metadata: { ...ref, uid: "u", managedFields: [{}] }, spec: { port: 1 } })
const canary = "c2VjcmV0LWNhbmFyeQ=="

const apis: ScriptedApi[] = []
afterEach(() => Promise.all(apis.splice(0).map((api) => api.close())))

const world = async (deps: Partial<KubeClusterDeps> = {}) => {
  const api = await scriptedApi()
  apis.push(api)
  const telemetry = quietTelemetry()
  const counted: string[] = []
  const counter = ({ name }: { name: string }) => ({
    of: () => ({ inc: () => {} }),
    inc: (labels: Readonly<Record<string, string>> = {}) => {
      if (name === "rest_client_requests_total") counted.push(`${labels.method} ${labels.code}`)
    },
  })
  const cluster = createKubeCluster({
    kubeconfig: api.kubeconfig,
    fieldManager: "tester",
    clock: systemClock,
    telemetry: { ...telemetry, counter },
    ...deps,
  })
  onTestFinished(() => cluster.close())
  return { api, cluster, counted, lines: telemetry.lines }
}

/** A world whose time the test turns. */
const timedWorld = async () => {
  const clock = fakeClock()
  return { ...(await world({ clock })), clock }
}

const reasonOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => "no error",
    (error: unknown) => error,
  )

describe("a call", () => {
  test("carries the token, the field manager's name and a frozen answer without managedFields", async () => {
    const { api, cluster } = await world()
    api.play(found)
    const object = await cluster.get(mcpTargetKind, ref)
    expect(object).toEqual({
      apiVersion: "mcp.reflow.io/v1alpha1",
      kind: "MCPTarget",
      metadata: { ...ref, uid: "u" },
      spec: { port: 1 },
    })
    expect(Object.isFrozen(object?.spec)).toBe(true)
    expect(api.requests[0]?.headers).toMatchObject({ authorization: "Bearer first", "user-agent": "tester" })
    expect(api.requests[0]?.url.pathname).toBe("/apis/mcp.reflow.io/v1alpha1/namespaces/reflow/mcptargets/x")
  })

  test.each([
    ["a reset", reset],
    ["a 500", refuse(500, "InternalError")],
    ["a 503", refuse(503, "ServiceUnavailable")],
    ["a 429", refuse(429, "TooManyRequests", { "retry-after": "0" })],
    ["an answer that is no JSON", answer(200, undefined)],
  ])("that meets %s twice is repeated", async (_, fault) => {
    const { api, cluster } = await world()
    api.play(fault, fault, found)
    expect(await cluster.get(podKind, ref)).toMatchObject({ metadata: { uid: "u" } })
    expect(api.requests).toHaveLength(3)
  })

  test("is given up after four attempts, which are counted", async () => {
    const { api, cluster, counted } = await world()
    api.play(refuse(503, "ServiceUnavailable"), refuse(503, "ServiceUnavailable"), reset)
    await expect(cluster.mergePatch(mcpTargetKind, ref, {})).rejects.toMatchObject({ code: "ClusterUnavailable" })
    expect(counted).toEqual(["PATCH 503", "PATCH 503", "PATCH <error>", "PATCH <error>"])
  })

  test.each([
    ["a reset", reset],
    ["a 500", refuse(500, "InternalError")],
  ])("that creates is not repeated after %s, since it may have taken effect", async (_, fault) => {
    const { api, cluster } = await world()
    api.play(fault, found)
    await expect(cluster.create(podKind, podOf(ref))).rejects.toMatchObject({ code: "ClusterUnavailable" })
    expect(api.requests).toHaveLength(1)
  })

  test.each([
    ["429", refuse(429, "TooManyRequests", { "retry-after": "0" })],
    ["503 that says when to retry", refuse(503, "ServiceUnavailable", { "retry-after": "0" })],
  ])("that creates is repeated after %s, since it was not processed", async (_, fault) => {
    const { api, cluster } = await world()
    api.play(fault, found)
    await cluster.create(podKind, podOf(ref))
    expect(api.requests).toHaveLength(2)
  })

  test("that creates is repeated when no connection could be made", async () => {
    const { api, cluster, counted } = await world()
    await api.close()
    await expect(cluster.create(podKind, podOf(ref))).rejects.toMatchObject({ code: "ClusterUnavailable" })
    expect(counted).toEqual(Array(4).fill("POST <error>"))
  })

  test("waits as long as Retry-After says, unless the deadline comes first", async () => {
    const { api, cluster, clock } = await timedWorld()
    api.play(refuse(429, "TooManyRequests", { "retry-after": "3" }), refuse(429, "x", { "retry-after": "60" }))
    const outcome = reasonOf(cluster.get(podKind, ref))
    await api.heard(1)
    await expect.poll(() => clock.pending).toBe(1)
    await clock.advance(2_999)
    expect(api.requests).toHaveLength(1)
    await clock.advance(1)
    expect(await outcome).toMatchObject({ code: "ApiTooManyRequests", retryAfterSeconds: 60 })
    expect(api.requests).toHaveLength(2)
  })

  test("that writes and hears nothing ends after ten seconds", async () => {
    const { api, cluster, clock } = await timedWorld()
    api.play(silence)
    const outcome = reasonOf(cluster.mergePatch(podKind, ref, {}))
    await api.heard(1)
    await clock.advance(10_000)
    expect(await outcome).toMatchObject({ code: "ClusterUnavailable" })
    expect(clock.pending).toBe(0)
    await expect.poll(() => api.connections.open).toBe(0)
  })

  test("that reads on a dead connection is repeated after five seconds, on another one", async () => {
    const { api, cluster, clock } = await timedWorld()
    api.play(found, silence, found)
    await cluster.get(podKind, ref)
    const outcome = cluster.get(podKind, ref)
    await api.heard(2)
    await clock.advance(5_000)
    await expect.poll(() => clock.pending).toBe(1)
    await clock.advance(1_000)
    expect(await outcome).toMatchObject({ metadata: { uid: "u" } })
    const [, dead, next] = api.requests.map(({ connection }) => connection)
    expect(next).not.toBe(dead)
  })

  test("that met one dead connection trusts none that is older", async () => {
    const { api, cluster, clock } = await timedWorld()
    api.play((seen, response) => setTimeout(() => found(seen, response), 5))
    await Promise.all(Array.from({ length: 6 }, () => cluster.get(podKind, ref)))
    // the pool may open one more for the next call, if it is made before the answered ones count as idle
    let old = 0
    const dies: Script = () => {
      old = api.connections.opened
    }
    api.play(dies, (seen, response) => (seen.connection < old ? silence : found)(seen, response))
    const outcome = cluster.get(podKind, ref)
    await api.heard(7)
    expect(old).toBeGreaterThan(2)
    await clock.advance(5_000)
    await expect.poll(() => clock.pending).toBe(1)
    await clock.advance(1_000)
    expect(await outcome).toMatchObject({ metadata: { uid: "u" } })
    expect(api.requests).toHaveLength(8)
  })

  test("whose caller gives up ends at once with the caller's reason, and is not repeated", async () => {
    const { api, cluster } = await world()
    api.play(silence)
    const giveUp = new AbortController()
    const outcome = reasonOf(cluster.get(podKind, ref, { signal: giveUp.signal }))
    await api.heard(1)
    const reason = new Error("enough")
    giveUp.abort(reason)
    expect(await outcome).toBe(reason)
    expect(api.requests).toHaveLength(1)
  })

  test("of a closed client fails at once, and so does one under way", async () => {
    const { api, cluster } = await world()
    api.play(silence)
    const underway = reasonOf(cluster.get(podKind, ref))
    await api.heard(1)
    await cluster.close()
    expect(await underway).toMatchObject({ code: "ClusterUnavailable", message: expect.stringContaining("closed") })
    expect(await reasonOf(cluster.get(podKind, ref))).toMatchObject({ code: "ClusterUnavailable" })
    expect(api.requests).toHaveLength(1)
  })
})

describe("connections", () => {
  test("are kept, and are at most eight however many calls come at once", async () => {
    const { api, cluster } = await world()
    api.play((seen, response) => setTimeout(() => found(seen, response), 5))
    await Promise.all(Array.from({ length: 100 }, () => cluster.get(podKind, ref)))
    for (let turn = 0; turn < 10; turn++) await cluster.get(podKind, ref)
    expect(api.requests).toHaveLength(110)
    expect(api.connections.opened).toBeLessThanOrEqual(8)
  })

  test("of watches are others, so that calls find room, and end with the watch", async () => {
    const { api, cluster } = await world()
    const list = answer(200, { metadata: { resourceVersion: "5" }, items: [] })
    api.play((seen, response) => {
      if (seen.url.searchParams.get("watch") !== "true") return list(seen, response)
      response.writeHead(200, { "content-type": "application/json" }).flushHeaders()
    })
    const watches = Array.from({ length: 12 }, () => cluster.watch(podKind, { namespace: "reflow" }))
    await Promise.all(watches.map(({ synced }) => synced))
    const open = () => api.requests.filter(({ url }) => url.searchParams.has("watch"))
    await expect.poll(() => open().length).toBe(12)
    await cluster.list(podKind, { namespace: "reflow" })
    const calls = new Set(
      api.requests.filter(({ url }) => !url.searchParams.has("watch")).map(({ connection }) => connection),
    )
    expect(calls.size).toBeLessThanOrEqual(8)
    expect(open().some(({ connection }) => calls.has(connection))).toBe(false)
    await Promise.all(watches.map((each) => each.close()))
    await expect.poll(() => api.connections.open).toBeLessThanOrEqual(calls.size)
  })
})

describe("credentials", () => {
  test("that the server no longer takes are read again, once", async () => {
    const { api, cluster } = await world()
    api.play((seen, response) => {
      const script = seen.headers.authorization === "Bearer second" ? found : refuse(401, "Unauthorized")
      script(seen, response)
    })
    await api.setToken("second")
    const both = await Promise.all([cluster.get(podKind, ref), cluster.create(podKind, podOf(ref))])
    expect(both).toMatchObject([{ metadata: { uid: "u" } }, { metadata: { uid: "u" } }])
    await api.setToken("third")
    api.play(refuse(401, "Unauthorized"))
    await expect(cluster.get(podKind, ref)).rejects.toMatchObject({ code: "ApiForbidden", data: { status: 401 } })
    expect(api.requests).toHaveLength(5)
    expect(api.connections.opened).toBeLessThan(5)
  })

  test("renew a watch too", async () => {
    const { api, cluster } = await world()
    api.play((seen, response) => {
      const fine = answer(200, { metadata: { resourceVersion: "5" }, items: [] })
      const script = seen.headers.authorization === "Bearer second" ? fine : refuse(401, "Unauthorized")
      script(seen, response)
    })
    await api.setToken("second")
    const reflection = cluster.watch(podKind, { namespace: "reflow" })
    await reflection.synced
    await expect.poll(() => api.requests.some(({ url }) => url.searchParams.has("watch"))).toBe(true)
    await reflection.close()
  })
})

describe("an answer", () => {
  test.each([
    [400, "BadRequest", "ApiInvalid"],
    [403, "Forbidden", "ApiForbidden"],
    [404, "NotFound", "ApiNotFound"],
    [409, "Conflict", "ApiConflict"],
    [409, "AlreadyExists", "ApiAlreadyExists"],
    [410, "Expired", "ApiGone"],
    [413, "RequestEntityTooLarge", "ApiInvalid"],
    [415, "UnsupportedMediaType", "ApiInvalid"],
    [422, "Invalid", "ApiInvalid"],
  ])("%i %s is %s, in the server's words, and not repeated", async (status, reason, code) => {
    const { api, cluster } = await world()
    api.play(refuse(status, reason))
    const error = await reasonOf(cluster.mergePatch(mcpTargetKind, ref, {}))
    expect(error).toMatchObject({ code, data: { status, reason }, message: expect.stringContaining(`says ${reason}`) })
    expect(api.requests).toHaveLength(1)
  })

  test.each([400, 401, 403, 404, 409, 422, 429, 500])(
    "that a webhook or a policy denies the request is ApiForbidden, with whatever status: %i",
    async (code) => {
      const { api, cluster } = await world()
      for (const message of [
        'admission webhook "validate.kyverno.svc-fail" denied the request: policy require-labels',
        'admission webhook "w.example" denied the request without explanation',
        "pods \"x\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no",
      ]) {
        api.play(answer(code, { kind: "Status", status: "Failure", code, reason: "Invalid", message }))
        const error = await reasonOf(cluster.create(podKind, podOf(ref)))
        expect(error, message).toMatchObject({ code: "ApiForbidden", message: expect.stringContaining(message) })
      }
      expect(api.requests.length, "nothing is repeated but with new credentials").toBeLessThanOrEqual(4)
    },
  )

  test.each([
    [422, 'Pod "x" is invalid: spec.foo: Invalid value: "admission webhook \\"w\\" denied the request"', "ApiInvalid"],
    [404, 'pods "admission" not found', "ApiNotFound"],
    [500, 'Internal error occurred: failed calling webhook "w": timeout', "ClusterUnavailable"],
  ])("that only speaks of one is none: %i %s", async (code, message, expected) => {
    const { api, cluster } = await world()
    api.play(answer(code, { kind: "Status", status: "Failure", code, reason: "NotFound", message }))
    const error = await reasonOf(cluster.create(podKind, podOf(ref)))
    expect(error).toMatchObject({ code: expected })
  })

  test.each([secretKind, mcpTargetKind])("that a quota has no room is QuotaExceeded, for a $kind too", async (kind) => {
    const { api, cluster } = await world()
    const words = "exceeded quota: tight, requested: secrets=1, used: secrets=10, limited: secrets=10"
    const message = `${kind.plural} "x" is forbidden: ${words}`
    api.play(answer(403, { kind: "Status", status: "Failure", code: 403, reason: "Forbidden", message }))
    const error = await reasonOf(cluster.mergePatch<KubeObject>(kind, ref, {}))
    expect(error).toMatchObject({ code: "QuotaExceeded", message: expect.stringContaining(words) })
  })

  test("of a server that does not know the kind is no absence", async () => {
    const { api, cluster } = await world()
    api.play((_, response) => response.writeHead(404, { "content-type": "text/plain" }).end("404 page not found\n"))
    const known = { code: "ApiNotFound", message: expect.stringContaining("CRDs") }
    await expect(cluster.get(mcpTargetKind, ref)).rejects.toMatchObject(known)
    await expect(cluster.delete(mcpTargetKind, ref)).rejects.toMatchObject(known)
  })

  test("about a namesake of the object whose status was meant is a conflict", async () => {
    const { api, cluster } = await world()
    api.play(found)
    const patch = (uid: string) => cluster.patchStatus(mcpTargetKind, ref, { metadata: { uid }, status: {} })
    await expect(patch("u")).resolves.toMatchObject({ metadata: { uid: "u" } })
    await expect(patch("v")).rejects.toMatchObject({ code: "ApiConflict" })
  })

  test("with a warning is logged, each warning once", async () => {
    const { api, cluster, lines } = await world()
    const warned = (what: string) =>
      answer(200, { metadata: ref }, { warning: `299 - "unknown field \\"spec.${what}\\""` })
    api.play(warned("a"), warned("a"), warned("b"))
    for (let turn = 0; turn < 3; turn++) await cluster.apply(mcpTargetKind, targetOf(ref))
    const warnings = lines.filter(({ message }) => message === "the API server warns")
    expect(warnings.map(({ fields }) => String(fields.warning).match(/spec\.\w/)?.[0])).toEqual(["spec.a", "spec.b"])
  })

  test.each([
    ["a refusal", answer(422, { kind: "Status", reason: "Invalid", message: `bad value ${canary}` })],
    ["no JSON", (_: unknown, response: { end(text: string): void }) => response.end(`{"data": ${canary}`)],
  ])("about a Secret that is %s is told without the words that may quote it", async (_, script) => {
    const { api, cluster, lines } = await world()
    api.play(script)
    const error = await reasonOf(cluster.create(secretKind, secretOf(ref, { data: { A: canary } })))
    const told = (value: unknown): string =>
      value instanceof Error ? `${value.message} ${value.stack} ${told(value.cause)}` : JSON.stringify(value ?? null)
    expect(error).toBeInstanceOf(Error)
    expect(told(error) + JSON.stringify(lines)).not.toContain(canary)
  })
})

describe("Events", () => {
  const event = { regarding: podOf({ ...ref, uid: "u" }), type: "Normal", reason: "Started", note: "It runs." } as const

  test("that are equal and come at once are one Event with a count", async () => {
    const { api, cluster } = await world()
    api.play(found)
    await Promise.all([cluster.recordEvent(event), cluster.recordEvent(event), cluster.recordEvent(event)])
    expect(api.requests.map(({ method }) => method)).toEqual(["POST", "PATCH", "PATCH"])
    expect(api.requests.map(({ body }) => JSON.parse(body).count)).toEqual([1, 2, 3])
    await cluster.recordEvent({ ...event, note: "It runs again." })
    expect(api.requests.at(-1)?.method).toBe("POST")
  })

  test("are written anew when the first is gone, after ten minutes, or when it could not be written", async () => {
    const { api, cluster, clock } = await timedWorld()
    api.play(refuse(403, "Forbidden"), found)
    await expect(cluster.recordEvent(event)).rejects.toMatchObject({ code: "ApiForbidden" })
    await cluster.recordEvent(event)
    api.play(refuse(404, "NotFound"), found)
    await cluster.recordEvent(event)
    await clock.advance(10 * 60_000)
    await cluster.recordEvent(event)
    expect(api.requests.map(({ method }) => method)).toEqual(["POST", "POST", "PATCH", "POST", "POST"])
  })
})

describe("a delete", () => {
  test("whose object was replaced by a namesake is absent, one whose version moved on is a conflict", async () => {
    const { api, cluster } = await world()
    const preconditions = { uid: "old", resourceVersion: "1" }
    api.play(refuse(409, "Conflict"), found)
    expect(await cluster.delete(podKind, ref, { preconditions })).toBe("absent")
    api.play(refuse(409, "Conflict"), found)
    const same = cluster.delete(podKind, ref, { preconditions: { ...preconditions, uid: "u" } })
    await expect(same).rejects.toMatchObject({ code: "ApiConflict" })
    expect(JSON.parse(api.requests[0]?.body ?? "")).toMatchObject({ preconditions, propagationPolicy: "Background" })
  })
})
