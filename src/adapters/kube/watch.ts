import type { Kind, KubeObject } from "../../api/kinds/kind.ts"
import { AppError, isAppError } from "../../errors.ts"
import type { Selection } from "../../ports/cluster.ts"
import type { ListWatchSource, WatchFrame } from "../reflector.ts"
import type { ObjectCalls } from "./objects.ts"
import { collectionPath, selectionQuery, type Transport } from "./transport.ts"

/** The API server ends a watch after this time, so that watches are spread over all API servers again. */
const serverTimeoutSeconds = 290

/** Longest frame, in characters; etcd stores objects of at most 1.5 MiB. */
const maxFrame = 8 * 2 ** 20

const doubt = (why: string): AppError => new AppError("ApiGone", { detail: `The watch cannot go on: ${why}.` })

/** Splits a stream of bytes into lines; a line may span chunks. A last line without its end is dropped. */
const lines = async function* (chunks: AsyncIterable<Uint8Array>): AsyncIterable<string> {
  const decoder = new TextDecoder()
  let rest = ""
  for await (const chunk of chunks) {
    rest += decoder.decode(chunk, { stream: true })
    let from = 0
    for (let end = rest.indexOf("\n", from); end >= 0; end = rest.indexOf("\n", from)) {
      if (end > from) yield rest.slice(from, end)
      from = end + 1
    }
    rest = rest.slice(from)
    if (rest.length > maxFrame) throw doubt("a frame is too large")
  }
}

const toFrame = (line: string): WatchFrame => {
  try {
    return JSON.parse(line) as WatchFrame
  } catch {
    throw doubt("a frame is no JSON")
  }
}

/** The list and watch calls of a selection, for the reflector. */
export const createSource = <T extends KubeObject>(
  transport: Transport,
  objects: ObjectCalls,
  kind: Kind<T>,
  selection: Selection,
): ListWatchSource<T> => ({
  list: (page, signal) => objects.list(kind, { ...selection, ...page }, { signal }),
  watch: async function* (resourceVersion, signal): AsyncIterable<WatchFrame> {
    const query = {
      ...selectionQuery(selection),
      watch: true,
      allowWatchBookmarks: true,
      timeoutSeconds: serverTimeoutSeconds,
      resourceVersion,
    }
    const path = collectionPath(kind, selection.namespace, query)
    const what = `watch ${kind.plural} ${selection.namespace}`
    const body = await transport.watch({ method: "GET", path, what, signal })
    try {
      for await (const line of lines(body)) yield toFrame(line)
    } catch (cause) {
      signal.throwIfAborted()
      if (isAppError(cause)) throw cause
      throw new AppError("ClusterUnavailable", { detail: `${what}: the connection broke.`, cause })
    } finally {
      body.destroy()
    }
  },
})
