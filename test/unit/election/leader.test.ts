import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { createMemoryCluster, type MemoryCluster } from "../../../src/adapters/memory/cluster.ts"
import { type Lease, leaseKind } from "../../../src/api/kinds/kubernetes.ts"
import { type Election, electLeader } from "../../../src/election/leader.ts"
import { heldBy } from "../../../src/election/lease.ts"
import { isAppError } from "../../../src/errors.ts"
import { type FakeClock, fakeClock } from "../../support/fake-clock.ts"
import { createFaults, type Faults } from "../../support/faults.ts"
import { quietTelemetry } from "../../support/quiet-telemetry.ts"

const ref = { namespace: "reflow-system", name: "reflow-operator" }

/** A replica that takes part in the election. */
type Replica = {
  readonly election: Election
  readonly faults: Faults
  readonly lines: ReturnType<typeof quietTelemetry>["lines"]
  /** How far its wall clock is from the others', in milliseconds. */
  offset: number
  /** True: no call of it is answered any more. */
  isCutOff: boolean
}

let clock: FakeClock
let cluster: MemoryCluster
let replicas: Replica[]

beforeEach(() => {
  clock = fakeClock()
  cluster = createMemoryCluster({ clock, telemetry: quietTelemetry() })
  replicas = []
})
afterEach(async () => {
  for (const replica of replicas) replica.isCutOff = false
  const closing = Promise.all(replicas.map(({ election }) => election.close()))
  await clock.advance(5_000)
  await closing
  expect(clock.pending).toBe(0)
  await cluster.close()
})

const join = (holder: string, offset = 0): Replica => {
  const faults = createFaults(clock)
  const telemetry = quietTelemetry()
  const state = { offset, isCutOff: false }
  const client = cluster.client({
    fieldManager: holder,
    intercept: {
      call: (call, run) => (state.isCutOff ? new Promise<never>(() => {}) : (faults.call?.(call, run) ?? run())),
    },
  })
  const own = { ...clock, now: () => clock.now() + state.offset }
  const election = electLeader({ cluster: client, clock: own, telemetry, lease: ref, holder })
  const replica = Object.assign(state, { election, faults, lines: telemetry.lines })
  replicas.push(replica)
  return replica
}

const leaders = (): boolean[] => replicas.map(({ election }) => election.isLeader())

const readLease = async (): Promise<Lease> => {
  const lease = await cluster.get(leaseKind, ref)
  if (lease === undefined) throw new Error("there is no lease")
  return lease
}

const codeOfLoss = ({ election }: Replica): string => {
  const { reason } = election.signal
  return isAppError(reason) ? reason.code : String(reason)
}

/** Turns the clock second by second; fails if two lead at once. Resolves with the second in which `index` began to lead. */
const waitUntilLeads = async (index: number, seconds: number): Promise<number> => {
  for (let second = 0; second <= seconds; second++) {
    expect(leaders().filter(Boolean).length).toBeLessThanOrEqual(1)
    if (leaders()[index] === true) return second
    await clock.advance(1_000)
  }
  throw new Error(`replica ${index} did not lead within ${seconds} s`)
}

describe("a lease", () => {
  test("that is absent is made, by the first who comes; the other stands by", async () => {
    join("a")
    join("b")
    await clock.advance(0)
    await clock.advance(2_000)
    expect(leaders()).toEqual([true, false])
    await replicas[0]?.election.acquired
    await replicas[1]?.election.answered
    const { spec } = await readLease()
    expect(spec).toMatchObject({ holderIdentity: "a", leaseDurationSeconds: 15, leaseTransitions: 0 })
    expect(spec?.renewTime).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
  })

  test("is renewed every two seconds by one write, without a look, and keeps its acquireTime", async () => {
    const leader = join("a")
    await clock.advance(0)
    const before = (await readLease()).spec
    const { length } = leader.faults.calls
    await clock.advance(60_000)
    const after = (await readLease()).spec
    expect(leaders()).toEqual([true])
    expect(leader.faults.calls.length - length).toBe(30)
    expect(after?.acquireTime).toBe(before?.acquireTime)
    expect(Date.parse(after?.renewTime ?? "") - Date.parse(before?.renewTime ?? "")).toBe(60_000)
  })

  test("of a holder that is gone is taken 15 s after it was first seen, and its transition counted", async () => {
    await cluster.create(leaseKind, heldBy(undefined, ref, "gone", clock.now() - 3_600_000))
    join("b")
    await clock.advance(14_900)
    expect(leaders()).toEqual([false])
    await clock.advance(2_000)
    expect(leaders()).toEqual([true])
    expect((await readLease()).spec).toMatchObject({ holderIdentity: "b", leaseTransitions: 1 })
  })

  test("that somebody deletes is made again by its leader", async () => {
    join("a")
    await clock.advance(0)
    await cluster.delete(leaseKind, ref)
    await clock.advance(2_000)
    expect((await readLease()).spec?.holderIdentity).toBe("a")
    expect(leaders()).toEqual([true])
  })

  test("that another one holds suddenly ends leadership at the next look", async () => {
    const leader = join("a")
    await clock.advance(0)
    await cluster.replace(leaseKind, heldBy(await readLease(), ref, "thief", clock.now()))
    await clock.advance(2_000)
    expect(leaders()).toEqual([false])
    expect(codeOfLoss(leader)).toBe("LeadershipLost")
  })

  test("stays with its leader over a lost answer and a conflict", async () => {
    const leader = join("a")
    await clock.advance(0)
    leader.faults.fail({ verb: "replace", answerLost: true })
    leader.faults.fail({ verb: "get", answerLost: true })
    leader.faults.fail({ verb: "replace", code: "ApiConflict" })
    await clock.advance(6_000)
    expect(leaders()).toEqual([true])
  })

  test("that somebody annotates is renewed all the same, in the same try", async () => {
    const leader = join("a")
    await clock.advance(0)
    await cluster.mergePatch(leaseKind, ref, { metadata: { annotations: { note: "by hand" } } })
    const { length } = leader.faults.calls
    await clock.advance(2_000)
    expect(leader.faults.calls.slice(length).map(({ verb }) => verb)).toEqual(["replace", "get", "replace"])
    const { metadata, spec } = await readLease()
    expect(Date.parse(spec?.renewTime ?? "")).toBe(clock.now())
    expect(metadata.annotations).toEqual({ note: "by hand" })
  })

  test("that two take at once goes to one of them", async () => {
    for (const name of ["a", "b", "c"]) join(name)
    await clock.advance(0)
    expect(leaders().filter(Boolean)).toHaveLength(1)
    await replicas[leaders().indexOf(true)]?.election.close()
    await clock.advance(2_000)
    expect(leaders().filter(Boolean)).toHaveLength(1)
  })

  test("whose renewal was written while the answer was lost counts as renewed when the repeated call conflicts", async () => {
    const leader = join("a")
    await clock.advance(0)
    leader.faults.fail({ verb: "replace", code: "ApiConflict", answerLost: true, times: 30 })
    await clock.advance(30_000)
    expect(leaders()).toEqual([true])
  })
})

describe("a leader that is cut off", () => {
  test("stops 10 s after its last renewal, and the other leads only after 15 s, within 20", async () => {
    const leader = join("a")
    await clock.advance(0)
    join("b")
    await clock.advance(20_000)
    expect(leaders()).toEqual([true, false])
    leader.isCutOff = true
    await clock.advance(9_999)
    expect(leaders()).toEqual([true, false])
    await clock.advance(1)
    expect(leaders()).toEqual([false, false])
    expect(codeOfLoss(leader)).toBe("LeadershipLost")
    const seconds = await waitUntilLeads(1, 10)
    expect(seconds).toBeGreaterThanOrEqual(5)
    expect(seconds).toBeLessThanOrEqual(10)
  })

  test("for less than that goes on, and tells each failed try", async () => {
    const leader = join("a")
    await clock.advance(0)
    leader.isCutOff = true
    await clock.advance(6_000)
    leader.isCutOff = false
    await clock.advance(30_000)
    expect(leaders()).toEqual([true])
    expect(leader.lines.filter(({ message }) => message === "the lease could not be held").length).toBeGreaterThan(0)
  })

  test("does not renew any more once it has stopped", async () => {
    const leader = join("a")
    await clock.advance(0)
    leader.isCutOff = true
    await clock.advance(10_000)
    leader.isCutOff = false
    const { renewTime } = (await readLease()).spec ?? {}
    await clock.advance(20_000)
    expect((await readLease()).spec?.renewTime).toBe(renewTime)
  })

  test("while its renewals are written but never answered, stops all the same", async () => {
    const leader = join("a")
    await clock.advance(0)
    leader.faults.fail({ verb: "replace", answerLost: true, times: 100 })
    await clock.advance(10_000)
    expect(leaders()).toEqual([false])
  })
})

describe("clocks", () => {
  test.each([
    ["before", -300_000],
    ["after", 300_000],
  ])("five minutes %s the leader's neither take its lease nor keep it from being taken", async (_which, offset) => {
    const leader = join("a")
    await clock.advance(0)
    join("b", offset)
    await clock.advance(60_000)
    expect(leaders()).toEqual([true, false])
    leader.isCutOff = true
    expect(await waitUntilLeads(1, 20)).toBeGreaterThanOrEqual(15)
  })

  test("that are set, forth and back, change nothing", async () => {
    const leader = join("a")
    await clock.advance(0)
    const standby = join("b")
    for (const offset of [300_000, -300_000, 0]) {
      leader.offset = offset
      await clock.advance(5_000)
      standby.offset = -offset
      await clock.advance(5_000)
      expect(leaders()).toEqual([true, false])
    }
  })
})

describe("closing", () => {
  test("releases the lease, so that the other leads within 2 s", async () => {
    const leader = join("a")
    await clock.advance(0)
    join("b")
    await clock.advance(7_300)
    await leader.election.close()
    expect((await readLease()).spec?.holderIdentity).toBe("")
    expect(leader.election.signal.reason).toMatchObject({ name: "AbortError" })
    await clock.advance(2_000)
    expect(leaders()).toEqual([false, true])
  })

  test("of a standby leaves the lease alone", async () => {
    join("a")
    await clock.advance(0)
    const standby = join("b")
    await clock.advance(1_000)
    const { length } = standby.faults.calls
    await standby.election.close()
    expect(standby.faults.calls).toHaveLength(length)
    expect((await readLease()).spec?.holderIdentity).toBe("a")
    await expect(standby.election.acquired).rejects.toMatchObject({ name: "AbortError" })
  })

  test("releases a lease whose taking was written but never answered", async () => {
    const leader = join("a")
    leader.faults.fail({ verb: "create", answerLost: true })
    await clock.advance(0)
    expect(leaders()).toEqual([false])
    await leader.election.close()
    expect((await readLease()).spec?.holderIdentity).toBe("")
  })

  test("takes at most 3 s while the API server is silent, and may be repeated", async () => {
    const leader = join("a")
    await clock.advance(0)
    leader.isCutOff = true
    const closing = Promise.all([leader.election.close(), leader.election.close()])
    await clock.advance(3_000)
    await closing
    expect(leader.lines.map(({ message }) => message)).toContain("the lease could not be released")
  })
})

describe("an API server that is away at the start", () => {
  test("is tried until it is there; until then the replica has no answer but is alive", async () => {
    const replica = join("a")
    replica.isCutOff = true
    let answered = false
    void replica.election.answered.then(() => {
      answered = true
    })
    await clock.advance(300_000)
    expect([answered, replica.election.isAlive(), leaders()]).toEqual([false, true, [false]])
    replica.isCutOff = false
    await clock.advance(5_000)
    expect([answered, leaders()]).toEqual([true, [true]])
  })
})
