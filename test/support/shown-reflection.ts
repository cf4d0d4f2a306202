import type { KubeObject } from "../../src/api/kinds/kind.ts"
import type { Change, Reflection } from "../../src/ports/cluster.ts"

/** A reflection that shows what the test says, when it says so. */
export const shownReflection = <T extends KubeObject>() => {
  const objects = new Map<string, T>()
  const listeners = new Set<(change: Change<T>) => void>()
  const reflection: Reflection<T> = {
    synced: Promise.resolve(),
    hasSynced: () => true,
    get: (name) => objects.get(name),
    items: () => objects.values(),
    get size() {
      return objects.size
    },
    silenceMs: () => 0,
    subscribe: (listener) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    close: async () => {},
  }
  const tell = (type: Change<T>["type"], object: T): void => {
    if (type === "deleted") objects.delete(object.metadata.name)
    else objects.set(object.metadata.name, object)
    for (const listener of listeners) listener({ type, object })
  }
  return { reflection, tell }
}
