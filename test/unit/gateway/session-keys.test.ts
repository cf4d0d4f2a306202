import { describe, expect, test } from "vitest"
import { type Secret, secretKind } from "../../../src/api/secret.ts"
import { AppError } from "../../../src/errors.ts"
import { ensureSessionKeys, parseKeys, rotation, sealingKey } from "../../../src/gateway/session-keys.ts"
import type { ClusterPort, MergePatch } from "../../../src/ports/cluster.ts"
import { fakeClock } from "../../support/fake-clock.ts"
import { quietTelemetry } from "../../support/quiet-telemetry.ts"

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
} => {
  const cluster = {
    secret: undefined as Secret | undefined,
    broken: false,
    get: async () => {
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
})
