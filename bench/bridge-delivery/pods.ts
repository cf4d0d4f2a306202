/** Creates instances on a real cluster, waits until they are Ready, and removes them. */
import { type MCPInstance, mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { mcpTargetKind } from "../../src/api/kinds/mcp-target.ts"
import { podKind } from "../../src/api/kinds/pod.ts"
import { instanceName } from "../../src/api/names.ts"
import type { Place } from "../place.ts"
import { containerOf, type Delivery } from "./deliveries.ts"

/** How long all Pods together may take to start, or to be gone, milliseconds. */
const limitMs = 600_000

/** Instances that are Ready. */
export type Crowd = {
  /** Seconds from the call that creates an instance until the watch shows it Ready, one for each. */
  readonly ready: readonly number[]
  /** UIDs of their Pods. */
  readonly uids: readonly string[]
}

/** The instances of a namespace. */
export type Yard = {
  /** Creates so many instances of different users at once; resolves when all are Ready. */
  create(delivery: Delivery, count: number): Promise<Crowd>
  /** Waits until so many instances are Ready; resolves with the UIDs of their Pods. Rejects if a bridge came otherwise. */
  uids(delivery: Delivery, count: number): Promise<readonly string[]>
  /** Deletes all instances; resolves when their Pods are gone. */
  clear(): Promise<void>
  close(): Promise<void>
}

type Target = { readonly name: string; readonly uid: string; readonly generation: number }

const toInstance = (delivery: Delivery, target: Target, namespace: string, user: number): MCPInstance => {
  const subjectKey = `user:bench${user}`
  return {
    apiVersion: mcpInstanceKind.apiVersion,
    kind: mcpInstanceKind.kind,
    metadata: { name: instanceName(target.name, target.uid, subjectKey), namespace },
    spec: {
      ...containerOf(delivery),
      targetName: target.name,
      targetUID: target.uid,
      targetGeneration: target.generation,
      subjectKey,
    },
  }
}

/** Throws if the start has failed: the wait would be in vain. */
const isReady = ({ metadata, status }: MCPInstance): boolean => {
  if (status?.phase === "Failed")
    throw new Error(`${metadata.name} failed: ${status.failure?.reason ?? ""} ${status.failure?.message ?? ""}`)
  return status?.phase === "Ready"
}

const ensureBridge = ({ metadata, status }: MCPInstance, { name }: Delivery): void => {
  const found = status?.bridge ?? "none"
  if (found !== name) throw new Error(`${metadata.name} got its bridge by ${found}, not by ${name}`)
}

/** Opens a yard in the namespace of the instances, in which nobody else makes any. */
export const openYard = async ({ admin, namespace }: Place, signal: AbortSignal): Promise<Yard> => {
  const [instances, pods] = [admin.watch(mcpInstanceKind, { namespace }), admin.watch(podKind, { namespace })]
  await Promise.all([instances.synced, pods.synced])

  /** Resolves when `holds` is true, which is asked at each change; rejects with what it throws. */
  const until = async (holds: () => boolean, what: string): Promise<void> => {
    const done = Promise.withResolvers<void>()
    const check = (): void => {
      try {
        if (holds()) done.resolve()
      } catch (error) {
        done.reject(error)
      }
    }
    const ends = [instances.subscribe(check), pods.subscribe(check)]
    const late = setTimeout(() => done.reject(new Error(`not within ${limitMs / 1_000} s: ${what}`)), limitMs)
    const giveUp = (): void => done.reject(signal.reason)
    signal.addEventListener("abort", giveUp)
    try {
      signal.throwIfAborted()
      check()
      await done.promise
    } finally {
      clearTimeout(late)
      signal.removeEventListener("abort", giveUp)
      for (const end of ends) end()
    }
  }

  const uids: Yard["uids"] = async (delivery, count) => {
    let found: readonly string[] = []
    const all = (): boolean => {
      found = [...instances.items()].flatMap((instance) => {
        if (!isReady(instance)) return []
        ensureBridge(instance, delivery)
        // the watch of the Pods may come later than that of the instances
        return pods.get(instance.status?.podName ?? "")?.metadata.uid ?? []
      })
      return found.length === count
    }
    await until(all, `${count} instances of ${delivery.target} are Ready`)
    return found
  }

  const create: Yard["create"] = async (delivery, count) => {
    const { metadata } = (await admin.get(mcpTargetKind, { namespace, name: delivery.target }, { signal })) ?? {}
    const target = { name: delivery.target, uid: metadata?.uid ?? "", generation: metadata?.generation ?? 1 }
    const made = Array.from({ length: count }, (_, user) => toInstance(delivery, target, namespace, user))
    const begun = new Map<string, number>()
    const ready = new Map<string, number>()
    const end = instances.subscribe(({ object: { metadata, status } }) => {
      if (status?.phase !== "Ready" || ready.has(metadata.name)) return
      ready.set(metadata.name, performance.now() - (begun.get(metadata.name) ?? Number.NaN))
    })
    try {
      const creating = made.map((instance) => {
        begun.set(instance.metadata.name, performance.now())
        return admin.create(mcpInstanceKind, instance, { signal })
      })
      const [found] = await Promise.all([uids(delivery, count), ...creating])
      return { ready: [...ready.values()].map((ms) => ms / 1_000), uids: found }
    } finally {
      end()
    }
  }

  return {
    create,
    uids,
    clear: async () => {
      const made = [...instances.items()].map(({ metadata }) => metadata.name)
      await Promise.all(made.map((name) => admin.delete(mcpInstanceKind, { namespace, name }, { signal })))
      await until(() => instances.size + pods.size === 0, "the Pods of the instances are gone")
    },
    close: async () => {
      await Promise.all([instances.close(), pods.close()])
    },
  }
}
