import type { KubeObject } from "../../src/api/kinds/kind.ts"
import type { ClockPort } from "../../src/ports/clock.ts"
import type { Change, ClusterPort, MergePatch, Reflection } from "../../src/ports/cluster.ts"

/** A write as it is about to go to the cluster. */
export type PortWrite = {
  readonly verb: "create" | "mergePatch" | "patchStatus" | "delete"
  /** e.g. `MCPInstance`. */
  readonly kind: string
  readonly name: string
  /** The patch of a patch. */
  readonly patch?: MergePatch
}

/** Stands around a write: makes it by `run`, and may do something before it, or between the write and its answer. */
export type Around = <R>(write: PortWrite, run: () => Promise<R>) => Promise<R>

/** A cluster whose writes go through `around`, whatever the adapter. */
export const aroundWrites = (cluster: ClusterPort, around: Around): ClusterPort => ({
  ...cluster,
  create: (kind, object, options) =>
    around({ verb: "create", kind: kind.kind, name: object.metadata.name }, () =>
      cluster.create(kind, object, options),
    ),
  mergePatch: (kind, ref, patch, options) =>
    around({ verb: "mergePatch", kind: kind.kind, name: ref.name, patch }, () =>
      cluster.mergePatch(kind, ref, patch, options),
    ),
  patchStatus: (kind, ref, patch, options) =>
    around({ verb: "patchStatus", kind: kind.kind, name: ref.name, patch }, () =>
      cluster.patchStatus(kind, ref, patch, options),
    ),
  delete: (kind, ref, options) =>
    around({ verb: "delete", kind: kind.kind, name: ref.name }, () => cluster.delete(kind, ref, options)),
})

/** A reflection that tells everything `ms` late, as a watch does whose connection is slow: it is never silent. */
export const lateReflection = <T extends KubeObject>(
  reflection: Reflection<T>,
  clock: ClockPort,
  ms: number,
): Reflection<T> => {
  const objects = new Map([...reflection.items()].map((object) => [object.metadata.name, object]))
  const listeners = new Set<(change: Change<T>) => void>()
  const timers = new Set<() => void>()
  const tell = (change: Change<T>): void => {
    if (change.type === "deleted") objects.delete(change.object.metadata.name)
    else objects.set(change.object.metadata.name, change.object)
    for (const listener of listeners) listener(change)
  }
  const unsubscribe = reflection.subscribe((change) => {
    const cancel = clock.timer(ms, () => {
      timers.delete(cancel)
      tell(change)
    })
    timers.add(cancel)
  })
  return {
    ...reflection,
    get: (name) => objects.get(name),
    items: () => objects.values(),
    get size() {
      return objects.size
    },
    subscribe: (listener) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    close: async () => {
      unsubscribe()
      for (const cancel of timers) cancel()
      await reflection.close()
    },
  }
}
