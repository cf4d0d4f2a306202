import { randomUUID } from "node:crypto"
import { isFields } from "../../api/patch.ts"
import { AppError } from "../../errors.ts"
import type { Selection } from "../../ports/cluster.ts"
import type { AnyKind, Raw } from "./raw.ts"
import type { Store } from "./store.ts"

/** Selectable fields of Kubernetes' own kinds, besides name and namespace. */
const builtIn: Readonly<Record<string, readonly string[]>> = {
  Pod: ["spec.nodeName", "status.phase", "status.podIP"],
  Secret: ["type"],
  Event: ["involvedObject.kind", "involvedObject.name", "involvedObject.uid", "reason", "type"],
}

const selectable = (kind: AnyKind): readonly string[] => [
  "metadata.name",
  "metadata.namespace",
  ...(kind.crd?.selectableFields.map((path) => path.replace(/^\./, "")) ?? builtIn[kind.kind] ?? []),
]

const refuse = (what: string): AppError => new AppError("ApiInvalid", { detail: `unable to select: ${what}` })

/** The pairs of `a=b,c=d`. */
const pairs = (selector: string | undefined): (readonly [string, string])[] =>
  (selector ?? "")
    .split(",")
    .filter((part) => part.trim() !== "")
    .map((part) => {
      const match = /^([^=!\s]+)\s*==?\s*([^=!\s]*)$/.exec(part.trim())
      if (match === null) throw refuse(`'${part}' is not key=value`)
      return [match[1] ?? "", match[2] ?? ""]
    })

const textAt = (root: unknown, path: string): string => {
  let value: unknown = root
  for (const name of path.split(".")) value = isFields(value) ? value[name] : undefined
  return value === undefined ? "" : String(value)
}

/**
 * A predicate for the objects of a selection. Throws `ApiInvalid` for a bad selector or a field that is not selectable.
 */
export const toPredicate = (kind: AnyKind, selection: Selection): ((object: Raw) => boolean) => {
  const labels = pairs(selection.labelSelector)
  const fields = pairs(selection.fieldSelector)
  for (const [path] of fields) if (!selectable(kind).includes(path)) throw refuse(`field label not supported: ${path}`)
  return (object) =>
    object.metadata.namespace === selection.namespace &&
    labels.every(([key, value]) => object.metadata.labels?.[key] === value) &&
    fields.every(([path, value]) => textAt(object, path) === value)
}

/** A page of untyped objects; see ListPage. */
type Page = { readonly items: readonly Raw[]; readonly resourceVersion: string; readonly continue?: string }

/** The remaining items of a list that was begun. All pages of a list show the state of its first call. */
type Rest = { readonly items: readonly Raw[]; readonly resourceVersion: string }

/** Most unfinished lists; the continue token of the oldest becomes invalid first. */
const maxOpenLists = 100

const byName = (one: Raw, other: Raw): number => (one.metadata.name < other.metadata.name ? -1 : 1)

/** Reads lists page by page. */
export type Pages = {
  list(kind: AnyKind, selection: Selection, page: { readonly limit?: number; readonly continue?: string }): Page
}

/** Makes the reader of lists over a store. A continue token is good for one call; an unknown one throws `ApiGone`. */
export const createPages = (store: Store): Pages => {
  const open = new Map<string, Rest>()

  const cut = ({ items, resourceVersion }: Rest, limit: number): Page => {
    if (items.length <= limit) return { items, resourceVersion }
    const token = randomUUID()
    open.set(token, { items: items.slice(limit), resourceVersion })
    for (const oldest of open.keys()) {
      if (open.size <= maxOpenLists) break
      open.delete(oldest)
    }
    return { items: items.slice(0, limit), resourceVersion, continue: token }
  }

  return {
    list: (kind, selection, page) => {
      const limit = page.limit === undefined || page.limit <= 0 ? Number.POSITIVE_INFINITY : page.limit
      if (page.continue !== undefined) {
        const rest = open.get(page.continue)
        if (rest === undefined)
          throw new AppError("ApiGone", { detail: "The provided continue parameter is too old: list again." })
        return cut(rest, limit)
      }
      const matches = toPredicate(kind, selection)
      const items = [...store.items(kind, selection.namespace)].map(({ object }) => object).filter(matches)
      return cut({ items: items.sort(byName), resourceVersion: String(store.version()) }, limit)
    },
  }
}
