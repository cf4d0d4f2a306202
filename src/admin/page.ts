import { suggestion } from "../api/nearest.ts"
import { AppError } from "../errors.ts"

const defaultLimit = 100
const maxLimit = 500

/** One page of a list. */
type Page<T> = {
  readonly items: readonly T[]
  /** Send it as `continue` to get the next page; absent on the last one. */
  readonly continue?: string
}

const invalid = (detail: string): AppError => new AppError("InvalidParams", { detail })

/** The parameter `name` as a whole number from 1 to `max`; the default if it is absent. Throws `InvalidParams`. */
export const numberOf = (
  query: URLSearchParams,
  name: string,
  { default: usual, max }: { readonly default: number; readonly max: number },
): number => {
  const text = query.get(name) ?? String(usual)
  const number = /^[0-9]{1,6}$/.test(text) ? Number(text) : 0
  if (number < 1 || number > max) throw invalid(`${name} must be a whole number from 1 to ${max}.`)
  return number
}

/** Names of targets and instances. The token of a page is a name too: that of its last item. */
export const namePattern = /^[a-z][-a-z0-9]{0,62}$/

const afterOf = (query: URLSearchParams): string => {
  const token = query.get("continue")
  if (token !== null && !namePattern.test(token)) throw invalid("continue must be the token of a page.")
  return token ?? ""
}

/** Throws `InvalidParams` if the query has a parameter that is not in `known`, or has one more than once. */
export const checkQuery = (query: URLSearchParams, known: readonly string[]): void => {
  for (const name of query.keys()) {
    if (!known.includes(name))
      throw invalid(`'${name.slice(0, 64)}' is not a parameter of this call${suggestion(name, known)}.`)
    if (query.getAll(name).length > 1) throw invalid(`${name} is given more than once.`)
  }
}

/** A parameter that is `true` or `false`; false if it is not given. Throws `InvalidParams`. */
export const flagOf = (query: URLSearchParams, name: string): boolean => {
  const text = query.get(name) ?? "false"
  if (text !== "true" && text !== "false") throw invalid(`${name} must be true or false.`)
  return text === "true"
}

/**
 * The page that the query (limit, continue) asks for, of items sorted by name. Throws `InvalidParams`. Items that are
 * created or deleted between two pages cause no gap or repetition of the others.
 */
export const toPage = <T extends { readonly metadata: { readonly name: string } }>(
  items: Iterable<T>,
  query: URLSearchParams,
): Page<T> => {
  const limit = numberOf(query, "limit", { default: defaultLimit, max: maxLimit })
  const after = afterOf(query)
  const rest = [...items]
    .filter(({ metadata }) => metadata.name > after)
    .sort((left, right) => (left.metadata.name < right.metadata.name ? -1 : 1))
  const page = rest.slice(0, limit)
  const last = page.at(-1)
  if (rest.length <= limit || last === undefined) return { items: page }
  return { items: page, continue: last.metadata.name }
}
