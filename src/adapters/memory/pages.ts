import { randomUUID } from "node:crypto"
import { AppError } from "../../errors.ts"
import type { Selection } from "../../ports/cluster.ts"
import type { AnyKind, Raw } from "./raw.ts"
import { toPredicate } from "./select.ts"
import type { Store } from "./store.ts"

/** A page of untyped objects; see ListPage. */
export type Page = { readonly items: readonly Raw[]; readonly resourceVersion: string; readonly continue?: string }

/** What is left of a list that was begun: all of its pages show the same moment. */
type Rest = { readonly items: readonly Raw[]; readonly resourceVersion: string }

/** Lists that are begun and not ended, at most; the oldest is forgotten first. */
const maxOpenLists = 100

const byName = (one: Raw, other: Raw): number => (one.metadata.name < other.metadata.name ? -1 : 1)

/** Reads lists page by page. */
export type Pages = {
  list(kind: AnyKind, selection: Selection, page: { readonly limit?: number; readonly continue?: string }): Page
}

/** Makes the listing half over a store. */
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
