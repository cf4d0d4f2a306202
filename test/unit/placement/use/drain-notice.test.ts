import { describe, expect, test } from "vitest"
import type { MCPInstance } from "../../../../src/api/kinds/mcp-instance.ts"
import { createDrainNotices } from "../../../../src/placement/use/drain-notice.ts"
import type { Written } from "../../../../src/placement/use/in-use.ts"
import { stampAfter } from "../../../support/build/metadata.ts"
import { aReadyInstance, draining } from "../../../support/build/snapshot.ts"
import { fakeClock } from "../../../support/fake-clock.ts"

const ready = aReadyInstance()
const deadline = stampAfter(60)
const restarted = draining(ready, "Restarted", deadline)

const setUp = (parts: { readonly markCalls?: () => Promise<boolean> } = {}) => {
  const clock = fakeClock()
  const said: string[] = []
  const answers: Written[] = []
  let known: MCPInstance | undefined
  const { markCalls = async () => true } = parts
  const notices = createDrainNotices({
    clock,
    find: () => known,
    markCalls,
    write: async ({ uid }, drain) => {
      said.push(`${uid} ${drain}`)
      return answers.shift() ?? "written"
    },
  })
  const see = (instance: MCPInstance | undefined): void => {
    known = instance
    if (instance !== undefined) notices.see(instance)
  }
  return { clock, said, answers, notices, see }
}

describe("a gateway's word that it saw a drain", () => {
  test.each(["Restarted", "SpecChanged", "MaxLifetime", "SecretExpired", "Evicted"])(
    "is given once for %s",
    async (reason) => {
      const { clock, said, see } = setUp()
      see(draining(ready, reason, deadline))
      see(draining(ready, reason, deadline))
      await clock.advance(100)
      see(draining(ready, reason, deadline))
      await clock.advance(60_000)
      expect(said).toEqual([`${ready.metadata.uid} ${deadline}`])
      expect(clock.pending).toBe(0)
    },
  )

  test("is not given for idleness: use is recorded before anything is sent", async () => {
    const { clock, said, see } = setUp()
    see(draining(ready, "Idle", deadline))
    see(ready)
    await clock.advance(60_000)
    expect(said).toEqual([])
  })

  test("is given for each drain of an instance", async () => {
    const { clock, said, see } = setUp()
    for (const each of [restarted, ready, draining(ready, "SpecChanged", stampAfter(300))]) {
      see(each)
      await clock.advance(1_000)
    }
    expect(said).toEqual([`${ready.metadata.uid} ${deadline}`, `${ready.metadata.uid} ${stampAfter(300)}`])
  })

  test("is not given before the open calls are told, and is tried again when that or it failed", async () => {
    const told = [false, true, true]
    const { clock, said, answers, see } = setUp({ markCalls: async () => told.shift() ?? false })
    answers.push("failed")
    see(restarted)
    await clock.advance(100)
    expect(said).toEqual([])
    await clock.advance(1_000)
    expect(said).toHaveLength(1)
    await clock.advance(1_000)
    expect(said).toHaveLength(2)
    await clock.advance(60_000)
    expect(said).toHaveLength(2)
  })

  test("is not given of an instance that went away, or to its namesake", async () => {
    const { clock, said, see } = setUp()
    see(restarted)
    see(undefined)
    await clock.advance(100)
    see(restarted)
    see({ ...ready, metadata: { ...ready.metadata, uid: "another" } })
    await clock.advance(60_000)
    expect(said).toEqual([])
  })

  test("is not given any more after the close", async () => {
    const { clock, said, notices, see } = setUp()
    see(restarted)
    notices.close()
    see(restarted)
    await clock.advance(60_000)
    expect(said).toEqual([])
    expect(clock.pending).toBe(0)
  })
})
