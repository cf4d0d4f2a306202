import type { Kind, KubeObject } from "../../api/kind.ts"
import type { ObjectRef, Selection } from "../../ports/cluster.ts"

type Query = Readonly<Record<string, string | number | boolean | undefined>>

const withQuery = (path: string, query: Query): string => {
  const parameters = new URLSearchParams()
  for (const [key, value] of Object.entries(query)) if (value !== undefined) parameters.set(key, String(value))
  const text = parameters.toString()
  return text === "" ? path : `${path}?${text}`
}

/** Path of a kind's collection in a namespace, e.g. `/apis/mcp.reflow.io/v1alpha1/namespaces/reflow/mcpinstances`. */
export const collectionPath = <T extends KubeObject>(kind: Kind<T>, namespace: string, query: Query = {}): string => {
  const root = kind.apiVersion.includes("/") ? `/apis/${kind.apiVersion}` : `/api/${kind.apiVersion}`
  return withQuery(`${root}/namespaces/${encodeURIComponent(namespace)}/${kind.plural}`, query)
}

/** Path of one object, or of a subresource of it. */
export const objectPath = <T extends KubeObject>(
  kind: Kind<T>,
  ref: ObjectRef,
  query: Query = {},
  subresource?: "status" | "log",
): string => {
  const path = `${collectionPath(kind, ref.namespace)}/${encodeURIComponent(ref.name)}`
  return withQuery(subresource === undefined ? path : `${path}/${subresource}`, query)
}

/** The query of a list or watch. */
export const selectionQuery = (selection: Selection): Query => ({
  labelSelector: selection.labelSelector,
  fieldSelector: selection.fieldSelector,
})
