import type { ClockPort } from "../../ports/clock.ts"
import type { Selection } from "../../ports/cluster.ts"
import type { WatchFrame } from "../reflector.ts"
import type { AnyKind, Raw } from "./raw.ts"
import { toPredicate } from "./select.ts"
import type { Entry, Store } from "./store.ts"

/** A watch of one selection. */
type WatchRequest = {
  readonly kind: AnyKind
  readonly selection: Selection
  /** The resource version after which the watch begins. */
  readonly since: string
  /** Milliseconds between bookmarks. */
  readonly bookmarkMs: number
}

const gone: WatchFrame = {
  type: "ERROR",
  object: { code: 410, message: "too old resource version" },
}

/**
 * The frame of a write for a watcher of a selection; undefined if neither the old nor the new state is in the
 * selection.
 */
const toFrame = (entry: Entry, matches: (object: Raw) => boolean): WatchFrame | undefined => {
  const before = entry.previous !== undefined && matches(entry.previous)
  const after = entry.type !== "DELETED" && matches(entry.object)
  if (after) return { type: before ? "MODIFIED" : "ADDED", object: entry.object }
  return before ? { type: "DELETED", object: entry.object } : undefined
}

const bookmark = (kind: AnyKind, version: number): WatchFrame => ({
  type: "BOOKMARK",
  object: { apiVersion: kind.apiVersion, kind: kind.kind, metadata: { name: "", resourceVersion: String(version) } },
})

/**
 * The frames of a watch, read from the store's history at the reader's pace; a reader that lags too far behind gets
 * 410. Ends when the signal is aborted.
 */
export async function* watchFrames(
  store: Store,
  clock: ClockPort,
  { kind, selection, since, bookmarkMs }: WatchRequest,
  signal: AbortSignal,
): AsyncGenerator<WatchFrame> {
  const matches = toPredicate(kind, selection)
  const history = store.history(kind)
  let wake = (): void => {}
  let due = false
  const onAbort = () => wake()
  const arm = () =>
    clock.timer(bookmarkMs, () => {
      due = true
      wake()
    })
  let cancel = arm()
  const unsubscribe = history.subscribe(() => wake())
  signal.addEventListener("abort", onAbort)
  try {
    let position = history.after(Number(since))
    while (!signal.aborted) {
      const entry = position === undefined ? "gone" : history.at(position)
      if (entry === "gone" || position === undefined) {
        yield gone
        return
      }
      if (entry !== undefined) {
        position++
        const frame = toFrame(entry, matches)
        if (frame !== undefined) yield frame
      } else if (due) {
        due = false
        cancel = arm()
        yield bookmark(kind, store.version())
      } else {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    }
  } finally {
    cancel()
    unsubscribe()
    signal.removeEventListener("abort", onAbort)
  }
}
