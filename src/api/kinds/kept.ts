import { deepFreeze } from "../patch.ts"
import type { Kind, KubeObject } from "./kind.ts"

/**
 * The object that is kept of one that the API server sent, frozen: without `managedFields`, with apiVersion and kind,
 * which the items of a list lack, and only with the fields that the kind keeps. Not checked by the kind's schema.
 */
export const toKept = <T extends KubeObject>(kind: Kind<T>, sent: unknown): T => {
  const object = sent as { readonly metadata?: Record<string, unknown> }
  const { managedFields: _dropped, ...metadata } = object.metadata ?? {}
  const whole = { ...object, apiVersion: kind.apiVersion, kind: kind.kind, metadata }
  return deepFreeze(kind.keep === undefined ? (whole as unknown as T) : kind.keep(whole as never))
}
