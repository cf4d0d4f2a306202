import { clearImmediate, setImmediate } from "node:timers"
import type { OwnerReference } from "../../api/kinds/kind.ts"
import type { Server } from "./server.ts"
import type { Store, Stored } from "./store.ts"

const manager = "garbage-collector"

/**
 * Removes objects whose owners are all gone, in the background, as kube-controller-manager does: also those that were
 * made with an owner that never was. References to owners that are gone are dropped where another owner is left.
 * Returns a function that ends it.
 */
export const collectGarbage = (store: Store, server: Server): (() => void) => {
  const queue = new Set<string>()
  let scheduled: NodeJS.Immediate | undefined
  let closed = false

  const isAlive = (owner: OwnerReference, namespace: string | undefined): boolean => {
    const found = store.findByUid(owner.uid)?.object
    return found?.kind === owner.kind && found.metadata.name === owner.name && found.metadata.namespace === namespace
  }

  const check = ({ kind, object }: Stored): void => {
    const { uid, name, namespace = "", ownerReferences = [] } = object.metadata
    const alive = ownerReferences.filter((owner) => isAlive(owner, object.metadata.namespace))
    if (uid === undefined || alive.length === ownerReferences.length) return
    const ref = { namespace, name }
    if (alive.length === 0) server.delete(kind, ref, { preconditions: { uid } })
    else server.mergePatch(kind, ref, { metadata: { uid, ownerReferences: alive } }, manager)
  }

  const drain = (): void => {
    scheduled = undefined
    for (const uid of queue) {
      queue.delete(uid)
      const stored = store.findByUid(uid)
      if (stored !== undefined) check(stored)
    }
  }

  store.onWrite(({ type, object, previous }) => {
    const { uid = "", ownerReferences = [] } = object.metadata
    if (type === "DELETED") for (const each of store.dependents(uid)) queue.add(each.object.metadata.uid ?? "")
    else if (ownerReferences.length > 0 && ownerReferences !== previous?.metadata.ownerReferences) queue.add(uid)
    if (queue.size > 0 && !closed) scheduled ??= setImmediate(drain)
  })

  return () => {
    closed = true
    if (scheduled !== undefined) clearImmediate(scheduled)
  }
}
