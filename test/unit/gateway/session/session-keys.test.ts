import { describe, expect, test } from "vitest"
import { type Secret, secretKind } from "../../../../src/api/kinds/kubernetes.ts"
import { AppError } from "../../../../src/errors.ts"
import { ensureSessionKeys, parseKeys, rotation, sealingKey } from "../../../../src/gateway/session/session-keys.ts"
import type { ClusterPort, MergePatch } from "../../../../src/ports/cluster.ts"
import { fakeClock } from "../../../support/fake-clock.ts"
import { quietTelemetry } from "../../../support/quiet-telemetry.ts"

const hour = 3_600_000
const day = 24 * hour
const now = Date.parse("2030-01-01T00:00:00Z")
const value = (fill: number) => Buffer.alloc(32, fill).toString("base64")
const nameAt = (time: number, id: string) => `key-${Math.floor(time / 1_000)}-${id}`

describe("the keys of a Secret", () => {
  test("are read oldest first; what is no key is left out", () => {
    const data = {
      [nameAt(now, "0000000b")]: value(2),
      [nameAt(now - day, "0000000a")]: value(1),
      junk: "x",
      "key-1-00000001": "x",
    }
    expect(parseKeys(data).map(({ id }) => id)).toEqual(["0000000a", "0000000b"])
  })

  test("seal only when every replica has had time to read them", () => {
    const keys = parseKeys({ [nameAt(now - day, "0000000a")]: value(1), [nameAt(now, "0000000b")]: value(2) })
    expect(sealingKey(keys, now + 60_000)?.id).toBe("0000000a")
    expect(sealingKey(keys, now + 300_000)?.id).toBe("0000000b")
    expect(sealingKey(keys.slice(1), now)?.id).toBe("0000000b")
  })

  test("rotate after 30 days; the old one goes when its last session has expired", () => {
    const old = { [nameAt(now, "0000000a")]: value(1) }
    expect(rotation(old, now + 29 * day, 24 * hour)).toBeUndefined()
    const added = rotation(old, now + 31 * day, 24 * hour) ?? {}
    expect(Object.values(added)).toHaveLength(1)
    const both = { ...old, ...(added as Record<string, string>) }
    expect(rotation(both, now + 32 * day, 24 * hour)).toBeUndefined()
    expect(rotation(both, now + 33 * day, 24 * hour)).toEqual({ [nameAt(now, "0000000a")]: null })
  })
})

/** A cluster with one Secret, which several replicas share. */
const clusterWith = (): Pick<ClusterPort, "get" | "create" | "mergePatch"> & {
  secret: Secret | undefined
  broken: boolean
  reads: number
} => {
  const cluster = {
    secret: undefined as Secret | undefined,
    broken: false,
    reads: 0,
    get: async () => {
      cluster.reads++
      if (cluster.broken) throw new AppError("ClusterUnavailable", { detail: "gone" })
      return cluster.secret
    },
    create: async (_: unknown, object: Secret) => {
      if (cluster.secret !== undefined) throw new AppError("ApiAlreadyExists", { detail: "exists" })
      cluster.secret = object
      return object
    },
    mergePatch: async (_: unknown, __: unknown, patch: MergePatch) => {
      const changes = patch.data as Record<string, string | null>
      const data = Object.entries({ ...cluster.secret?.data, ...changes }).filter(([, each]) => each !== null)
      cluster.secret = { ...(cluster.secret as Secret), data: Object.fromEntries(data) as Record<string, string> }
      return cluster.secret
    },
  }
  return cluster as unknown as ReturnType<typeof clusterWith>
}

describe("replicas", () => {
  const ref = { namespace: "reflow", name: "reflow-gateway-keys" }
  const start = (cluster: ReturnType<typeof clusterWith>, clock = fakeClock(now)) =>
    ensureSessionKeys({ cluster: cluster as unknown as ClusterPort, clock, log: quietTelemetry().log }, ref, {
      sessionLifetimeMs: 24 * hour,
      signal: AbortSignal.timeout(10_000),
    })

  test("that start at once agree on one key", async () => {
    const cluster = clusterWith()
    const keys = await Promise.all([start(cluster), start(cluster), start(cluster)])
    expect(new Set(keys.map((each) => each.current().id)).size).toBe(1)
    expect(cluster.secret?.kind).toBe(secretKind.kind)
    for (const each of keys) each.close()
  })

  test("know a rotated key before anybody seals with it", async () => {
    const cluster = clusterWith()
    const clock = fakeClock(now)
    const [one, two] = [await start(cluster, clock), await start(cluster, clock)]
    const first = one.current().id
    clock.skew(31 * day)
    await clock.advance(60_000)
    expect(one.current().id).toBe(first)
    await clock.advance(120_000)
    const newest = parseKeys(cluster.secret?.data).at(-1)?.id ?? ""
    expect(newest).not.toBe(first)
    expect(two.find(newest)).toBeDefined()
    await clock.advance(300_000)
    expect([one.current().id, two.current().id]).toEqual([one.current().id, one.current().id])
    expect(one.current().id).not.toBe(first)
    expect(one.find(first)).toBeDefined()
    one.close()
    two.close()
    expect(clock.pending).toBe(0)
  })

  test("go on with the keys they know while the API server is gone", async () => {
    const cluster = clusterWith()
    const clock = fakeClock(now)
    const keys = await start(cluster, clock)
    const { id } = keys.current()
    cluster.broken = true
    await clock.advance(600_000)
    expect(keys.current().id).toBe(id)
    keys.close()
  })

  /** Two replicas, of which the second has not read the Secret since the first had it replaced by hand. */
  const startLate = async () => {
    const cluster = clusterWith()
    const clock = fakeClock(now)
    const late = await start(cluster, clock)
    cluster.secret = undefined
    const first = await start(cluster, clock)
    cluster.reads = 0
    return { cluster, clock, late, first }
  }

  test("that meet a key they do not know read the Secret once for all who ask, then say that there is none", async () => {
    const { cluster, late, first } = await startLate()
    const { id } = first.current()
    expect(late.find(id)).toBeUndefined()
    const found = await Promise.all([id, id, "ffffffff", id].map((each) => late.lookUp(each)))
    expect(found.map((key) => key?.id)).toEqual([id, id, undefined, id])
    expect(late.find(id)).toBeDefined()
    expect(cluster.reads).toBe(1)
    for (const each of [late, first]) each.close()
  })

  test("read the Secret at most once in five seconds, however many invented keys they meet", async () => {
    const { cluster, clock, late, first } = await startLate()
    first.close()
    for (let index = 0; index < 1_000; index++) expect(await late.lookUp(index.toString(16))).toBeUndefined()
    expect(cluster.reads).toBe(1)
    await clock.advance(5_000)
    await Promise.all([late.lookUp("1"), late.lookUp("2")])
    expect(cluster.reads).toBe(2)
    clock.skew(-300_000)
    await late.lookUp("3")
    expect(cluster.reads).toBe(3)
    late.close()
  })

  test("do not call a session gone while the Secret cannot be read", async () => {
    const { cluster, clock, late, first } = await startLate()
    first.close()
    const { id } = first.current()
    cluster.broken = true
    const asked = await Promise.allSettled([late.lookUp(id), late.lookUp(id)])
    for (const each of asked) expect(each).toMatchObject({ reason: { code: "ClusterUnavailable" } })
    expect(cluster.reads).toBe(1)
    cluster.broken = false
    await clock.advance(5_000)
    expect(await late.lookUp(id)).toMatchObject({ id })
    late.close()
    expect(clock.pending).toBe(0)
  })

  test("wait for a slow Secret for five seconds at most", async () => {
    const { cluster, clock, late, first } = await startLate()
    first.close()
    cluster.get = (_kind, _ref, options) =>
      new Promise((_, reject) => options?.signal?.addEventListener("abort", () => reject(options.signal?.reason)))
    const asked = late.lookUp(first.current().id)
    const refused = expect(asked).rejects.toMatchObject({ code: "ClusterUnavailable", retryAfterSeconds: 5 })
    await clock.advance(5_000)
    await refused
    late.close()
    expect(clock.pending).toBe(0)
  })

  test("that are being read when the replica closes are not read again", async () => {
    const cluster = clusterWith()
    const clock = fakeClock(now)
    const keys = await start(cluster, clock)
    const { get } = cluster
    const slow = Promise.withResolvers<void>()
    cluster.get = async (...args) => {
      await slow.promise
      return get(...args)
    }
    await clock.advance(60_000)
    keys.close()
    slow.resolve()
    await clock.advance(0)
    expect(clock.pending).toBe(0)
  })

  test("open what the former key sealed until its last session has expired, and not longer", async () => {
    const cluster = clusterWith()
    const clock = fakeClock(now)
    const keys = await start(cluster, clock)
    const former = keys.current().id
    clock.skew(30 * day)
    await clock.advance(60_000)
    await clock.advance(6 * 60_000)
    expect(keys.current().id).not.toBe(former)
    expect(keys.find(former)).toBeDefined()
    clock.skew(24 * hour - 5 * 60_000)
    await clock.advance(60_000)
    expect(keys.find(former)).toBeDefined()
    await clock.advance(10 * 60_000)
    expect(keys.find(former)).toBeUndefined()
    expect(await keys.lookUp(former)).toBeUndefined()
    keys.close()
  })
})
