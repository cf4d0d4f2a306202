import type { MCPTarget } from "../api/kinds/mcp-target.ts"
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

/** A compiled list of globs: `*` stands for any characters, `?` for one (UTF-16 unit), all else for itself. */
type Globs = {
  /** True if one of them matches the text as a whole. */
  readonly match: (text: string) => boolean
  /** Steps that each character of a compared text costs. A bound on the work multiplies them by the text's length. */
  readonly steps: number
}

/** Bits in a word of a set of states. */
const bits = 32

const hasWildcard = (glob: string): boolean => glob.includes("*") || glob.includes("?")

/** The prefix that a glob such as `read_*` demands; undefined for other globs. */
const prefixOf = (glob: string): string | undefined => {
  const prefix = glob.slice(0, -1)
  return glob.endsWith("*") && !hasWildcard(prefix) ? prefix : undefined
}

/** A set of states, a word of them in each element. */
type States = Uint32Array<ArrayBuffer>

/** A sparse set of states: its words that are not empty, by their index. Keeps globs of many characters small. */
type FewStates = Map<number, number>

/** What a glob's states do: state n means that its first n characters have been matched. */
type Machine = {
  /** Number of characters, which is the last state. */
  readonly last: number
  /** States that stay whatever comes: those before which a `*` stands. */
  readonly stay: States
  /** States that go on with every character: those before which a `?` stands. */
  readonly any: States
  /** States that go on with a character, by its code. */
  readonly on: ReadonlyMap<number, FewStates>
}

const add = (states: States, state: number): void => {
  const word = state >>> 5
  states[word] = (states[word] ?? 0) | (1 << (state % bits))
}

const addFew = (on: Map<number, FewStates>, code: number, state: number): void => {
  const states = on.get(code) ?? new Map<number, number>()
  const word = state >>> 5
  on.set(code, states.set(word, (states.get(word) ?? 0) | (1 << (state % bits))))
}

const machineOf = (glob: string): Machine => {
  const last = glob.replaceAll("*", "").length
  const [stay, any] = [new Uint32Array((last >>> 5) + 1), new Uint32Array((last >>> 5) + 1)]
  const on = new Map<number, FewStates>()
  let state = 0
  for (const character of glob.split("")) {
    if (character === "*") add(stay, state)
    else if (character === "?") add(any, state++)
    else addFew(on, character.charCodeAt(0), state++)
  }
  return { last, stay, any, on }
}

/**
 * Follows all states of a glob at once, a word of them in one step (Baeza-Yates and Gonnet, "A new approach to text
 * searching", 1992): each character of the text costs the same, whatever it is. Trying one place after the other, as
 * glob matchers do, costs the product of both lengths.
 */
const follow =
  ({ last, stay, any, on }: Machine) =>
  (text: string): boolean => {
    const states: States = new Uint32Array(stay.length)
    states[0] = 1
    for (let at = 0; at < text.length; at++) {
      const moves = on.get(text.charCodeAt(at))
      // from the last word down: what is carried goes into a word that is done
      for (let word = stay.length - 1; word >= 0; word--) {
        const now = states[word] ?? 0
        const moved = now & ((any[word] ?? 0) | (moves?.get(word) ?? 0))
        states[word] = (moved << 1) | (now & (stay[word] ?? 0))
        if (moved < 0) states[word + 1] = (states[word + 1] ?? 0) | 1
      }
    }
    return ((states[last >>> 5] ?? 0) & (1 << (last % bits))) !== 0
  }

/** Compiles globs. Plain names and prefixes, which most of them are, cost next to nothing. */
export const compileGlobs = (globs: readonly string[]): Globs => {
  const names = new Set(globs.filter((glob) => !hasWildcard(glob)))
  const others = [...new Set(globs)].filter(hasWildcard)
  const prefixes = others.flatMap((glob) => prefixOf(glob) ?? [])
  const machines = others.filter((glob) => prefixOf(glob) === undefined).map(machineOf)
  const matchers = machines.map(follow)
  return {
    match: (text) =>
      names.has(text) ||
      prefixes.some((prefix) => text.startsWith(prefix)) ||
      matchers.some((matches) => matches(text)),
    steps: machines.reduce((sum, { stay }) => sum + stay.length, 1),
  }
}

/** Which of a server's tools a caller may see and call. */
export type ToolPolicy = {
  readonly allows: (tool: string) => boolean
  /** Steps that a name costs for each of its characters. Absent: too few to count. */
  readonly steps?: number
}

/** Longest tool name that is compared, in UTF-16 units; longer ones are not allowed. */
const maxNameLength = 1_024

/**
 * Characters by which two programs can read one name differently: a C program ends it at NUL, others leave out control
 * characters or halves of surrogate pairs. No valid tool name has one (MCP 2025-11-25, tool names).
 */
const doubtful = /[\p{Cc}\p{Cs}]/u

/** Most names whose decision is remembered by one policy, and their length in UTF-16 units: a server has few tools. */
const rememberedNames = 1_000
const longestRemembered = 128

/** Remembers decisions by name. Once it is full, further names are decided each time. */
const remembering = (decide: (name: string) => boolean): ((name: string) => boolean) => {
  const decisions = new Map<string, boolean>()
  return (name) => {
    const known = decisions.get(name)
    if (known !== undefined) return known
    const decision = decide(name)
    if (decisions.size < rememberedNames && name.length <= longestRemembered) decisions.set(name, decision)
    return decision
  }
}

const compile = ({ spec }: MCPTarget): ToolPolicy | undefined => {
  const { allow, deny = [] } = spec.tools ?? {}
  if (allow === undefined && deny.length === 0) return undefined
  const allowed = allow === undefined ? undefined : compileGlobs(allow)
  const denied = compileGlobs(deny)
  return {
    allows: remembering(
      (tool) =>
        tool.length <= maxNameLength &&
        !doubtful.test(tool) &&
        (allowed === undefined || allowed.match(tool)) &&
        !denied.match(tool),
    ),
    steps: (allowed?.steps ?? 0) + denied.steps,
  }
}

/** The target's policy on tools; undefined if it shows all of them. `deny` is stronger than `allow`. */
export type ToolPolicies = (target: MCPTarget) => ToolPolicy | undefined

/** Creates the function that compiles policies, once for each target object. */
export const createToolPolicies = (): ToolPolicies => {
  const made = new WeakMap<MCPTarget, { readonly policy: ToolPolicy | undefined }>()
  return (target) => {
    const known = made.get(target)
    if (known !== undefined) return known.policy
    const policy = compile(target)
    made.set(target, { policy })
    return policy
  }
}

/** Most steps that the names of one answer may cost when a policy is asked about them: some 100 ms. */
const maxSteps = 2 ** 23

/**
 * The policy for the names of one answer. `allows` throws UpstreamInvalid after some 100 ms of comparisons in all,
 * which only many long names under many long globs need.
 */
const boundPolicy = ({ allows, steps = 1 }: ToolPolicy): ToolPolicy => {
  let taken = 0
  return {
    steps,
    allows: (tool) => {
      taken += steps * tool.length
      if (taken <= maxSteps) return allows(tool)
      throw new AppError("UpstreamInvalid", {
        detail: "The server lists more tools, or longer names, than can be compared with the tool policy.",
      })
    },
  }
}

/** A part of a text and its replacement. */
type Edit = { readonly start: number; readonly end: number; readonly text: string }

/** Matches every text with a key that may mean `tools`: the word itself, an escape, or a character outside of ASCII. */
const mayList = /tools|\\u|[^\0-\x7f]/i

/** Most arrays around a message: a batch is one, and no client understands more. */
const maxArrays = 10

/** Passes one tool; true if its name is unambiguous and allowed. */
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

/** Passes a list of tools; adds its changes to `edits`. Only the tools that are shown are copied. */
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

/**
 * Passes a `cacheScope`; changes `public` to `private`, because a list for one caller must not be cached for others.
 */
const narrowScope = (cursor: Cursor, edits: Edit[]): void => {
  const start = cursor.at
  if (peek(cursor) !== quote) skipValue(cursor, 0)
  else if (readString(cursor) === "public") edits.push({ start, end: cursor.at, text: '"private"' })
}

/** Passes a message's result; adds its changes to `all`, none if it lists no tools. */
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
 * The text of a message or batch without the tools that the policy hides; all else stays as it was: numbers of any
 * size, keys in any order. Undefined if nothing must change. The text must be valid JSON. Every key counts that some
 * parser could read as `result`, `tools` or `name`, as often as it is there; a tool with an ambiguous name is hidden.
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
