import { AppError } from "../errors.ts"
import {
  type Cursor,
  eachElement,
  eachMember,
  openBrace,
  openBracket,
  peek,
  quote,
  readString,
  skipValue,
} from "./json-cursor.ts"
import { mayMean } from "./json-scan.ts"
import { boundPolicy, type ToolPolicy } from "./tool-policy.ts"

/** A part of a text and what comes in its place. */
type Edit = { readonly start: number; readonly end: number; readonly text: string }

/** What a text has in it if any key of it may mean `tools`: the word itself, or what can be read as something else. */
const mayList = /tools|\\u|[^\0-\x7f]/i

/** Most arrays around a message: one is a batch, more are nothing that a client understands. */
const maxArrays = 10

/** Passes one tool; true if its name is plain to everybody and allowed. */
const isShown = (cursor: Cursor, policy: ToolPolicy): boolean => {
  if (peek(cursor) !== openBrace) {
    skipValue(cursor, 0)
    return false
  }
  const names: (string | undefined)[] = []
  eachMember(cursor, (key) => {
    const isPlain = key === "name" && peek(cursor) === quote
    if (mayMean(key, "name")) names.push(isPlain ? readString(cursor) : undefined)
    if (!isPlain) skipValue(cursor, 0)
  })
  const [name] = names
  return names.length === 1 && name !== undefined && policy.allows(name)
}

/** Passes a list of tools; adds what must change in it to `edits`. Only tools that are shown are kept in hand. */
const cutList = (cursor: Cursor, policy: ToolPolicy, edits: Edit[]): void => {
  const kept: string[] = []
  let [count, first, end] = [0, cursor.at, cursor.at]
  eachElement(cursor, () => {
    peek(cursor)
    const start = cursor.at
    if (count++ === 0) first = start
    const shown = isShown(cursor, policy)
    end = cursor.at
    if (shown) kept.push(cursor.text.slice(start, end))
  })
  if (kept.length < count) edits.push({ start: first, end, text: kept.join(",") })
}

/** Passes a `cacheScope`: what one caller may see must not be cached for others. */
const narrowScope = (cursor: Cursor, edits: Edit[]): void => {
  const start = cursor.at
  if (peek(cursor) !== quote) skipValue(cursor, 0)
  else if (readString(cursor) === "public") edits.push({ start, end: cursor.at, text: '"private"' })
}

/** Passes a message's result; adds what must change in it to `all`, which is nothing where no tools are listed. */
const cutResult = (cursor: Cursor, policy: ToolPolicy, all: Edit[]): void => {
  const edits: Edit[] = []
  let lists = false
  eachMember(cursor, (key) => {
    const code = peek(cursor)
    if (mayMean(key, "tools") && code === openBracket) {
      lists = true
      cutList(cursor, policy, edits)
    } else if (mayMean(key, "cacheScope")) narrowScope(cursor, edits)
    else skipValue(cursor, 0)
  })
  if (lists) for (const edit of edits) all.push(edit)
}

const cutMessage = (cursor: Cursor, policy: ToolPolicy, edits: Edit[]): void =>
  eachMember(cursor, (key) => {
    if (peek(cursor) === openBrace && mayMean(key, "result")) cutResult(cursor, policy, edits)
    else skipValue(cursor, 0)
  })

const cutValue = (cursor: Cursor, policy: ToolPolicy, edits: Edit[], arrays: number): void => {
  const code = peek(cursor)
  if (code === openBrace) cutMessage(cursor, policy, edits)
  else if (code !== openBracket) skipValue(cursor, 0)
  else if (arrays === maxArrays) throw new AppError("UpstreamInvalid", { detail: "The server's batch is nested." })
  else eachElement(cursor, () => cutValue(cursor, policy, edits, arrays + 1))
}

/**
 * The text of a message or batch without the tools that the policy hides, all else of it as it was: numbers of any size,
 * keys in any order. Undefined if nothing must change. The text must be valid JSON. Every key counts that some parser
 * could take for the one that is meant, as often as it is there; a tool whose name is not beyond doubt is hidden.
 * @throws UpstreamInvalid if comparing the names would take too long, or batches are nested
 */
export const cutTools = (text: string, policy: ToolPolicy): string | undefined => {
  if (!mayList.test(text)) return undefined
  const unlimited = Number.POSITIVE_INFINITY
  const cursor: Cursor = { text, maxDepth: unlimited, maxMembers: unlimited, at: 0, members: 0 }
  const edits: Edit[] = []
  cutValue(cursor, boundPolicy(policy), edits, 0)
  if (edits.length === 0) return undefined
  let out = ""
  let at = 0
  for (const edit of edits) {
    out += text.slice(at, edit.start) + edit.text
    at = edit.end
  }
  return out + text.slice(at)
}
