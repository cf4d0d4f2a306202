import type { Kind, KubeObject } from "../../api/kind.ts"
import { secretKind } from "../../api/secret.ts"
import { hasCode } from "../../errors.ts"
import type { ClusterPort, DeleteOptions, ListPage, MergePatch, ObjectRef } from "../../ports/cluster.ts"
import { collectionPath, objectPath, selectionQuery } from "./paths.ts"
import type { Transport } from "./transport.ts"

/** A list as the API server sends it; items carry neither apiVersion nor kind. */
type RawList = {
  readonly items?: readonly Record<string, unknown>[] | null
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string }
}

const freeze = <T>(value: T): T => {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const inner of Object.values(value)) freeze(inner)
  }
  return value
}

/** An answer as one of our objects: type filled in, bookkeeping of other field managers dropped, frozen. */
export const toObject = <T extends KubeObject>(kind: Kind<T>, raw: unknown): T => {
  const object = raw as { metadata?: Record<string, unknown> }
  const { managedFields: _dropped, ...metadata } = object.metadata ?? {}
  return freeze({ ...object, apiVersion: kind.apiVersion, kind: kind.kind, metadata }) as unknown as T
}

const refOf = (object: KubeObject): ObjectRef => ({
  namespace: object.metadata.namespace ?? "",
  name: object.metadata.name,
})

/** The calls on objects, without watches, events and logs. */
export type ObjectCalls = Pick<
  ClusterPort,
  "get" | "list" | "create" | "apply" | "mergePatch" | "patchStatus" | "replace" | "delete"
>

/** Makes the calls on objects over a transport, writing as one field manager. */
export const createObjectCalls = (transport: Transport, fieldManager: string): ObjectCalls => {
  const about = <T extends KubeObject>(verb: string, kind: Kind<T>, ref: ObjectRef) => ({
    what: `${verb} ${kind.plural} ${ref.namespace}/${ref.name}`,
    isSecret: kind.plural === secretKind.plural,
  })

  const patch = async <T extends KubeObject>(
    kind: Kind<T>,
    ref: ObjectRef,
    body: unknown,
    how: {
      contentType: string
      query?: Record<string, string | boolean>
      subresource?: "status"
      signal: AbortSignal | undefined
    },
  ): Promise<T> => {
    const path = objectPath(kind, ref, { fieldManager, fieldValidation: "Warn", ...how.query }, how.subresource)
    const call = { method: "PATCH", path, body, contentType: how.contentType, signal: how.signal } as const
    return toObject(kind, await transport.json({ ...call, ...about("patch", kind, ref) }))
  }
  const merge = "application/merge-patch+json"

  return {
    get: async (kind, ref, options) => {
      try {
        const call = { method: "GET", path: objectPath(kind, ref), signal: options?.signal } as const
        return toObject(kind, await transport.json({ ...call, ...about("get", kind, ref) }))
      } catch (error) {
        if (hasCode(error, "ApiNotFound")) return undefined
        throw error
      }
    },
    list: async <T extends KubeObject>(
      kind: Kind<T>,
      selection: Parameters<ClusterPort["list"]>[1],
      options?: { signal?: AbortSignal },
    ): Promise<ListPage<T>> => {
      const query = { ...selectionQuery(selection), limit: selection.limit, continue: selection.continue }
      const path = collectionPath(kind, selection.namespace, query)
      const call = {
        method: "GET",
        path,
        signal: options?.signal,
        ...about("list", kind, { namespace: selection.namespace, name: "*" }),
      } as const
      const page = (await transport.json(call)) as RawList
      const next = page.metadata?.continue
      return {
        items: (page.items ?? []).map((item) => toObject(kind, item)),
        resourceVersion: page.metadata?.resourceVersion ?? "",
        ...(next === undefined || next === "" ? {} : { continue: next }),
      }
    },
    create: async (kind, object, options) => {
      const ref = refOf(object)
      const path = collectionPath(kind, ref.namespace, { fieldManager, fieldValidation: "Warn" })
      const call = { method: "POST", path, body: object, signal: options?.signal } as const
      return toObject(kind, await transport.json({ ...call, ...about("create", kind, ref) }))
    },
    apply: (kind, object, options) =>
      patch(kind, refOf(object), object, {
        contentType: "application/apply-patch+yaml",
        query: { force: true },
        signal: options?.signal,
      }),
    mergePatch: (kind, ref, body: MergePatch, options) =>
      patch(kind, ref, body, { contentType: merge, signal: options?.signal }),
    patchStatus: (kind, ref, body: MergePatch, options) =>
      patch(kind, ref, body, { contentType: merge, subresource: "status", signal: options?.signal }),
    replace: async (kind, object, options) => {
      const ref = refOf(object)
      const call = {
        method: "PUT",
        path: objectPath(kind, ref, { fieldManager }),
        body: object,
        signal: options?.signal,
      } as const
      return toObject(kind, await transport.json({ ...call, ...about("update", kind, ref) }))
    },
    delete: (kind, ref, options) => remove(transport, kind, ref, options ?? {}, about("delete", kind, ref)),
  }
}

const remove = async <T extends KubeObject>(
  transport: Transport,
  kind: Kind<T>,
  ref: ObjectRef,
  options: DeleteOptions,
  about: { what: string; isSecret: boolean },
): Promise<"deleted" | "absent"> => {
  const { preconditions, gracePeriodSeconds, signal } = options
  const body = {
    apiVersion: "v1",
    kind: "DeleteOptions",
    propagationPolicy: "Background",
    ...(preconditions === undefined ? {} : { preconditions }),
    ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
  }
  try {
    await transport.json({ method: "DELETE", path: objectPath(kind, ref), body, signal, ...about })
    return "deleted"
  } catch (error) {
    if (hasCode(error, "ApiNotFound")) return "absent"
    // a failed uid precondition means that the object we meant is gone and another one has its name
    if (hasCode(error, "ApiConflict") && preconditions?.uid !== undefined) {
      const path = objectPath(kind, ref)
      const now = await transport.json({ method: "GET", path, signal, ...about }).catch((cause: unknown) => {
        if (hasCode(cause, "ApiNotFound")) return undefined
        throw cause
      })
      if (now === undefined || toObject(kind, now).metadata.uid !== preconditions.uid) return "absent"
    }
    throw error
  }
}
