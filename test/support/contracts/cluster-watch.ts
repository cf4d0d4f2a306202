import { expect, test } from "vitest"
import type { KubeObject } from "../../../src/api/kinds/kind.ts"
import { secretKind } from "../../../src/api/kinds/kubernetes.ts"
import { type MCPTarget, mcpTargetKind } from "../../../src/api/kinds/mcp-target.ts"
import type { Change, Reflection } from "../../../src/ports/cluster.ts"
import type { Bench } from "./cluster.ts"
import { secretOf, targetOf } from "./objects.ts"

/** The changes of a reflection from now on, and a wait for the next ones. */
const follow = <T extends KubeObject>(reflection: Reflection<T>) => {
  const changes: Change<T>[] = []
  let wake = (): void => {}
  reflection.subscribe((change) => {
    changes.push(change)
    wake()
  })
  return {
    changes,
    /** Resolves when the last change has this type and satisfies `holds`; fails after 30 s. */
    until: async (type: Change<T>["type"], holds: (object: T) => boolean = () => true): Promise<void> => {
      const { promise, reject } = Promise.withResolvers<never>()
      const timer = setTimeout(() => reject(new Error(`no ${type}; saw ${changes.map((each) => each.type)}`)), 30_000)
      try {
        for (let last = changes.at(-1); last?.type !== type || !holds(last.object); last = changes.at(-1)) {
          const next = new Promise<void>((resolve) => {
            wake = resolve
          })
          await Promise.race([next, promise])
        }
      } finally {
        clearTimeout(timer)
      }
    },
  }
}

const brief = <T extends KubeObject>({ type, object, previous }: Change<T>): string =>
  `${type} ${object.metadata.name}${previous === undefined ? "" : " before"}`

/** What a reflection promises on every cluster. */
export const describeWatch = (bench: Bench): void => {
  test("a reflection holds what was there, then follows additions, changes and deletions", async () => {
    const { cluster, namespace } = bench
    const [old, young] = [bench.fresh(), bench.fresh()]
    const labels = { set: old.name }
    await cluster.create(mcpTargetKind, targetOf({ ...old, labels }))
    const reflection = cluster.watch(mcpTargetKind, { namespace, labelSelector: `set=${old.name}` })
    const { changes, until } = follow(reflection)
    await reflection.synced
    expect([...reflection.items()].map(({ metadata }) => metadata.name)).toEqual([old.name])
    const made = await cluster.create(mcpTargetKind, targetOf({ ...young, labels }))
    await until("added", ({ metadata }) => metadata.name === young.name)
    expect(reflection.get(young.name)).toEqual(made)
    expect(Object.isFrozen(reflection.get(young.name)?.spec)).toBe(true)
    await cluster.mergePatch(mcpTargetKind, young, { spec: { paused: true } })
    await until("modified")
    expect(changes.at(-1)).toMatchObject({ previous: { metadata: made.metadata }, object: { spec: { paused: true } } })
    await cluster.delete(mcpTargetKind, young)
    await until("deleted")
    expect(reflection.size).toBe(1)
    expect(changes.map(brief)).toEqual([
      `added ${old.name}`,
      `added ${young.name}`,
      `modified ${young.name} before`,
      `deleted ${young.name} before`,
    ])
    await reflection.close()
  })

  test("an object enters and leaves a selection with its labels", async () => {
    const { cluster, namespace } = bench
    const ref = bench.fresh()
    const reflection = cluster.watch(secretKind, { namespace, labelSelector: `in=${ref.name}` })
    const { changes, until } = follow(reflection)
    await reflection.synced
    await cluster.create(secretKind, secretOf(ref))
    await cluster.mergePatch(secretKind, ref, { metadata: { labels: { in: ref.name } } })
    await until("added")
    await cluster.mergePatch(secretKind, ref, { metadata: { labels: { in: null } } })
    await until("deleted")
    expect(changes).toHaveLength(2)
    expect(reflection.size).toBe(0)
    await reflection.close()
  })

  test("an object that is made anew under its name is a deletion and an addition", async () => {
    const { cluster, namespace } = bench
    const ref = bench.fresh()
    const first = await cluster.create(mcpTargetKind, targetOf(ref))
    const reflection = cluster.watch(mcpTargetKind, { namespace, fieldSelector: `metadata.name=${ref.name}` })
    await reflection.synced
    const { changes, until } = follow(reflection)
    await cluster.delete(mcpTargetKind, ref)
    const second = await cluster.create(mcpTargetKind, targetOf(ref))
    await until("added")
    const uids = changes.map(({ type, object }: Change<MCPTarget>) => [type, object.metadata.uid])
    expect(uids).toEqual([
      ["deleted", first.metadata.uid],
      ["added", second.metadata.uid],
    ])
    await reflection.close()
  })

  test("a closed reflection tells nothing more, and one that is closed early rejects those who wait", async () => {
    const { cluster, namespace } = bench
    const ref = bench.fresh()
    const [closed, open] = [1, 2].map(() => cluster.watch(secretKind, { namespace, labelSelector: `in=${ref.name}` }))
    if (closed === undefined || open === undefined) throw new Error("unreachable")
    await Promise.all([closed.synced, open.synced])
    const [heard, sees] = [follow(closed), follow(open)]
    await closed.close()
    await cluster.create(secretKind, secretOf({ ...ref, labels: { in: ref.name } }))
    await sees.until("added")
    expect(heard.changes).toEqual([])
    await open.close()
    const early = cluster.watch(secretKind, { namespace })
    const waiting = expect(early.synced).rejects.toMatchObject({ code: "ShuttingDown" })
    await early.close()
    await waiting
  })
}
