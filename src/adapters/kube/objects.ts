import { toKept } from "../../api/kinds/kept.ts"
import type { Kind, KubeObject } from "../../api/kinds/kind.ts"
import { secretKind } from "../../api/kinds/kubernetes.ts"
import { type JsonPatchOperation, toJsonPatch } from "../../api/patch.ts"
import { AppError, hasCode, isAppError } from "../../errors.ts"
import type {
  ClusterPort,
  DeleteOptions,
  FieldManager,
  FieldSet,
  ListPage,
  Managed,
  MergePatch,
  ObjectRef,
} from "../../ports/cluster.ts"
import { isAbsence } from "./status.ts"
import { collectionPath, objectPath, selectionQuery, type Transport } from "./transport.ts"

const isFieldSet = (value: unknown): value is FieldSet =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** The fields of an entry of `metadata.managedFields` that are read here. */
type Entry = {
  readonly manager?: unknown
  readonly subresource?: unknown
  readonly fieldsV1?: unknown
}

/** The managers besides `own`, from an object as the API server sent it; those of subresources are left out. */
const otherManagers = (raw: unknown, own: string): readonly FieldManager[] => {
  const { managedFields } = (raw as { metadata?: { managedFields?: unknown } }).metadata ?? {}
  if (!Array.isArray(managedFields)) return []
  return managedFields.flatMap(({ manager, subresource, fieldsV1 }: Entry) =>
    typeof manager === "string" && manager !== own && (subresource ?? "") === "" && isFieldSet(fieldsV1)
      ? [{ name: manager, fields: fieldsV1 }]
      : [],
  )
}

/** A list as the API server sends it; items carry neither apiVersion nor kind. */
type RawList = {
  readonly items?: readonly Record<string, unknown>[] | null
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string }
}

const refOf = (object: KubeObject): ObjectRef => ({
  namespace: object.metadata.namespace ?? "",
  name: object.metadata.name,
})

/** Verb and object for messages, and whether the answer may hold secret values. */
const about = <T extends KubeObject>(verb: string, kind: Kind<T>, ref: ObjectRef) => ({
  what: `${verb} ${kind.plural} ${ref.namespace}/${ref.name}`,
  isSecret: kind.plural === secretKind.plural,
})

const readRaw = async <T extends KubeObject>(
  transport: Transport,
  kind: Kind<T>,
  ref: ObjectRef,
  signal: AbortSignal | undefined,
): Promise<unknown> => {
  try {
    const call = { method: "GET", path: objectPath(kind, ref), signal, ...about("get", kind, ref) } as const
    return await transport.json(call)
  } catch (error) {
    if (isAppError(error) && isAbsence(error)) return undefined
    throw error
  }
}

const read = async <T extends KubeObject>(
  ...[transport, kind, ref, signal]: Parameters<typeof readRaw<T>>
): Promise<T | undefined> => {
  const raw = await readRaw(transport, kind, ref, signal)
  return raw === undefined ? undefined : toKept(kind, raw)
}

/**
 * Throws `ApiConflict` if a status patch names a uid and another object was written: the API server ignores the uid
 * there.
 */
const requireUid = <T extends KubeObject>(written: T, { metadata }: MergePatch): T => {
  const wanted = typeof metadata === "object" && metadata !== null && "uid" in metadata ? metadata.uid : undefined
  const { name, uid } = written.metadata
  if (wanted === undefined || wanted === uid) return written
  throw new AppError("ApiConflict", { detail: `${written.kind} ${name}: its uid is ${uid}, not ${wanted}.` })
}

/**
 * The preconditions of a JSON patch. The API server evaluates them again for each version that it applies the patch to.
 */
const tests = ({ metadata: { uid, generation } }: KubeObject): JsonPatchOperation[] => [
  { op: "test", path: "/metadata/uid", value: uid },
  { op: "test", path: "/metadata/generation", value: generation },
]

/** True if the object was deleted or replaced by another, or has another spec now. */
const isOther = async <T extends KubeObject>(
  transport: Transport,
  kind: Kind<T>,
  object: T,
  signal: AbortSignal | undefined,
): Promise<boolean> => {
  const now = await read(transport, kind, refOf(object), signal)
  const { uid, generation } = object.metadata
  return now?.metadata.uid !== uid || now?.metadata.generation !== generation
}

/** The calls on objects, without watches, events and logs. */
export type ObjectCalls = Pick<
  ClusterPort,
  | "get"
  | "getManaged"
  | "list"
  | "create"
  | "apply"
  | "mergePatch"
  | "mergePatchSpec"
  | "patchStatus"
  | "replace"
  | "delete"
>

/** Makes the calls on objects over a transport. Writes use `fieldManager`. */
export const createObjectCalls = (transport: Transport, fieldManager: string): ObjectCalls => {
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
    return toKept(kind, await transport.json({ ...call, ...about("patch", kind, ref) }))
  }
  const merge = "application/merge-patch+json"

  return {
    get: (kind, ref, options) => read(transport, kind, ref, options?.signal),
    getManaged: async <T extends KubeObject>(
      kind: Kind<T>,
      ref: ObjectRef,
      options?: { signal?: AbortSignal },
    ): Promise<Managed<T> | undefined> => {
      const raw = await readRaw(transport, kind, ref, options?.signal)
      return raw === undefined ? undefined : { object: toKept(kind, raw), others: otherManagers(raw, fieldManager) }
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
        items: (page.items ?? []).map((item) => toKept(kind, item)),
        resourceVersion: page.metadata?.resourceVersion ?? "",
        ...(next === undefined || next === "" ? {} : { continue: next }),
      }
    },
    create: async (kind, object, options) => {
      const ref = refOf(object)
      const dry: Record<string, string> = options?.dryRun === true ? { dryRun: "All" } : {}
      const path = collectionPath(kind, ref.namespace, { fieldManager, fieldValidation: "Warn", ...dry })
      const call = { method: "POST", path, body: object, signal: options?.signal } as const
      return toKept(kind, await transport.json({ ...call, ...about("create", kind, ref) }))
    },
    apply: (kind, object, options) =>
      patch(kind, refOf(object), object, {
        contentType: "application/apply-patch+yaml",
        query: { force: true },
        signal: options?.signal,
      }),
    mergePatch: (kind, ref, body: MergePatch, options) =>
      patch(kind, ref, body, { contentType: merge, signal: options?.signal }),
    mergePatchSpec: async (kind, read, spec, options) => {
      const ref = refOf(read)
      const how = { contentType: "application/json-patch+json", signal: options?.signal }
      try {
        return await patch(kind, ref, [...tests(read), ...toJsonPatch(read, { spec })], how)
      } catch (error) {
        // a failed test is reported as an invalid request, like a value that the schema refuses
        if (hasCode(error, "ApiInvalid") && (await isOther(transport, kind, read, options?.signal)))
          throw new AppError("ApiConflict", { detail: `${kind.kind} ${ref.name} has been modified.`, cause: error })
        throw error
      }
    },
    patchStatus: async (kind, ref, body: MergePatch, options) => {
      const how = { contentType: merge, subresource: "status", signal: options?.signal } as const
      return requireUid(await patch(kind, ref, body, how), body)
    },
    replace: async (kind, object, options) => {
      const ref = refOf(object)
      const call = {
        method: "PUT",
        path: objectPath(kind, ref, { fieldManager }),
        body: object,
        signal: options?.signal,
      } as const
      return toKept(kind, await transport.json({ ...call, ...about("update", kind, ref) }))
    },
    delete: (kind, ref, options) => remove(transport, kind, ref, options ?? {}),
  }
}

/** True if the object with the uid of the preconditions no longer exists: another object may have its name now. */
const isGone = async <T extends KubeObject>(
  transport: Transport,
  kind: Kind<T>,
  ref: ObjectRef,
  { preconditions, signal }: DeleteOptions,
): Promise<boolean> => {
  if (preconditions?.uid === undefined) return false
  const now = await read(transport, kind, ref, signal)
  return now?.metadata.uid !== preconditions.uid
}

const remove = async <T extends KubeObject>(
  transport: Transport,
  kind: Kind<T>,
  ref: ObjectRef,
  options: DeleteOptions,
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
    const path = objectPath(kind, ref)
    await transport.json({ method: "DELETE", path, body, signal, ...about("delete", kind, ref) })
    return "deleted"
  } catch (error) {
    if (isAppError(error) && isAbsence(error)) return "absent"
    if (hasCode(error, "ApiConflict") && (await isGone(transport, kind, ref, options))) return "absent"
    throw error
  }
}
