import { AppError } from "../../errors.ts"
import type { Placement } from "../../placement/port.ts"
import type { UpstreamAnswer } from "./upstream-answer.ts"

/** Redirects that keep method and body (RFC 9110 §15.4.8, §15.4.9). */
const faithful: readonly number[] = [307, 308]
const redirects: readonly number[] = [301, 302, 303, ...faithful]

/** Longest path that is followed, in UTF-16 units. */
const longestPath = 2_048
/** Longest place that an error repeats. */
const longestShown = 200

/** Where an answer sends its reader; undefined if it is no redirect. */
const locationOf = ({ status, headers }: UpstreamAnswer): string | undefined =>
  redirects.includes(status) && headers.location !== undefined ? String(headers.location) : undefined

/** Names by which a server may mean itself: what it was asked by, and what it was told that the client asks. */
const ownNames = ({ host }: URL, headers: readonly string[]): readonly string[] => {
  const names = [host]
  for (let at = 0; at < headers.length; at += 2)
    if (headers[at] === "host" || headers[at] === "x-forwarded-host") names.push(headers[at + 1] ?? "")
  return names.map((name) => name.toLowerCase())
}

/**
 * The path, with its query, that a faithful redirect names on the same server; undefined for every other answer. The scheme
 * is not looked at: a server that believes X-Forwarded-Proto names https. Nothing but the path is taken from the answer.
 */
export const detourOf = (answer: UpstreamAnswer, asked: URL, sent: readonly string[]): string | undefined => {
  const location = locationOf(answer)
  if (location === undefined || !faithful.includes(answer.status) || !URL.canParse(location, asked)) return undefined
  const { host, pathname, search, protocol } = new URL(location, asked)
  const path = pathname + search
  if (!/^https?:$/.test(protocol) || path.length > longestPath || path === asked.pathname + asked.search)
    return undefined
  return ownNames(asked, sent).includes(host) ? path : undefined
}

/** A place without what credentials stand in: the part of a user before the host, query and fragment. */
const withoutSecrets = (location: string): string => {
  const place = location.split(/[?#]/, 1)[0] ?? ""
  const host = place.indexOf("//") + 2
  const path = place.indexOf("/", host)
  const user = place.lastIndexOf("@", path === -1 ? undefined : path)
  return host > 1 && user >= host ? place.slice(0, host) + place.slice(user + 1) : place
}

/** A place for people, and for the log: what does not print is left out. */
const shown = (location: string): string => withoutSecrets(location.replace(/[^\x21-\x7e]/g, "")).slice(0, longestShown)

/** Throws UpstreamInvalid for a redirect: no client could follow it, since only we reach the server. */
export const checkNoRedirect = (answer: UpstreamAnswer): void => {
  const location = locationOf(answer)
  if (location === undefined) return
  throw new AppError("UpstreamInvalid", {
    detail: `The server redirects to '${shown(location)}', which is not followed: set the target's path to where the server answers.`,
    data: { upstream_status: answer.status },
  })
}

/** A path and its query, without slashes at the path's end. */
const stem = (path: string): string => {
  const query = path.indexOf("?")
  const until = query === -1 ? path.length : query
  let end = until
  while (path[end - 1] === "/") end--
  return path.slice(0, end) + path.slice(until)
}

/** Paths on which servers answer instead of those that they are asked on, for one life of each server. */
type Detours = {
  /** The path to ask on. */
  pathOf(placement: Placement): string
  /**
   * Remembers the path on which the server answered instead, if only slashes at its end make the difference: any other one may
   * have been chosen for this caller, and those who share the server must not be led there.
   */
  remember(placement: Placement, path: string): void
}

/** Most servers whose detour is remembered; the others are redirected anew. */
const remembered = 10_000

/** Makes an empty memory of detours. */
export const createDetours = (): Detours => {
  const known = new Map<string, { readonly incarnation: string; readonly from: string; readonly path: string }>()
  return {
    pathOf: ({ instance, incarnation, url }) => {
      const from = url.pathname + url.search
      const detour = known.get(instance)
      return detour?.incarnation === incarnation && detour.from === from ? detour.path : from
    },
    remember: ({ instance, incarnation, url }, path) => {
      const from = url.pathname + url.search
      if (stem(from) !== stem(path)) return
      known.delete(instance)
      const [oldest] = known.size >= remembered ? known.keys() : []
      if (oldest !== undefined) known.delete(oldest)
      known.set(instance, { incarnation, from, path })
    },
  }
}
