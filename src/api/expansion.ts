/**
 * `$(NAME)` in a container's command, args and env values, as the kubelet expands it
 * (k8s.io/kubernetes/third_party/forked/golang/expansion, pkg/kubelet/kubelet_pods.go).
 */

/** The part of a container that is expanded. */
type Expandable = {
  readonly command?: readonly string[] | undefined
  readonly args?: readonly string[] | undefined
  readonly env?: readonly { readonly name: string; readonly value?: string | undefined }[] | undefined
}

/** Longest text, in bytes, that Linux hands to a program (MAX_ARG_STRLEN): `NAME=value` of a variable, or a word, with its end. */
export const longestText = 128 * 1024

/** Most bytes that Linux hands to a program in all, with the usual stack of 8 MiB: a quarter of it (execve(2)). */
export const longestTogether = 2 * 1024 * 1024

/** A piece of a text: what stays as it is, or the name in `$(NAME)`. */
type Piece = { readonly text: string } | { readonly name: string }

/**
 * The pieces of a text. `$$` is `$`; `$(` without a `)` after it stays; any other `$` stays. A name is everything up to
 * the next `)`. Linear in the text, other than the kubelet's own loop.
 */
function* piecesOf(text: string): Generator<Piece> {
  let from = 0
  let at = text.indexOf("$")
  while (at !== -1) {
    const next = text[at + 1]
    const end = next === "(" ? text.indexOf(")", at + 2) : -1
    // none closes from here on: nothing below can be a name, and looking again would be quadratic
    if (next === "(" && end === -1) return void (yield* escapesIn(text.slice(from)))
    if (next === "$") yield { text: text.slice(from, at + 1) }
    else if (end !== -1) {
      yield { text: text.slice(from, at) }
      yield { name: text.slice(at + 2, end) }
    }
    const after = end !== -1 ? end + 1 : next === "$" ? at + 2 : at + 1
    if (next === "$" || end !== -1) from = after
    at = text.indexOf("$", after)
  }
  yield { text: text.slice(from) }
}

/** A rest without `)`: only `$$` means anything in it. */
function* escapesIn(rest: string): Generator<Piece> {
  yield { text: rest.replaceAll("$$", "$") }
}

/** Gives the value of a name; undefined if it has none. */
type LookUp = (name: string) => string | undefined

/** `text` with the value of each `$(NAME)` in its place; names without a value stay. Values are taken as they are. */
export const expand = (text: string, lookUp: LookUp): string => {
  let made = ""
  for (const piece of piecesOf(text)) made += "text" in piece ? piece.text : (lookUp(piece.name) ?? `$(${piece.name})`)
  return made
}

/** Gives how many bytes the value of a name has; undefined if it has none. */
type BytesOf = (name: string) => number | undefined

const bytesIn = (text: string, bytesOf: BytesOf): number => {
  let bytes = 0
  for (const piece of piecesOf(text))
    bytes +=
      "text" in piece ? Buffer.byteLength(piece.text) : (bytesOf(piece.name) ?? Buffer.byteLength(piece.name) + 3)
  return bytes
}

const tooLong = (what: string, most: number): string =>
  `${what} longer than ${most} bytes, which is as much as a program can be started with: use $(NAME) less often in it`

/** The texts that are expanded, in the kubelet's order, with the variable that each becomes. */
const textsOf = ({ env = [], command = [], args = [] }: Expandable) => [
  ...env.map(({ name, value = "" }) => ({ what: `The environment variable ${name} becomes`, name, text: value })),
  ...[...command, ...args].map((text) => ({ what: "A word of the command line becomes", name: undefined, text })),
]

/**
 * Why a container cannot be started with what its texts expand to; undefined if it can. Nothing is expanded to find out:
 * values that name each other double with each variable. `known` has the bytes of what comes before `env`; a name that
 * nobody has counts as `unknown` says, or stays as it is. Linear in the container.
 */
export const overExpandedBy = (
  container: Expandable,
  known: ReadonlyMap<string, number>,
  unknown: BytesOf = () => undefined,
): string | undefined => {
  const sizes = new Map(known)
  let together = 0
  for (const { what, name, text } of textsOf(container)) {
    const bytes = bytesIn(text, (each) => sizes.get(each) ?? unknown(each))
    const written = bytes + 1 + (name === undefined ? 0 : name.length + 1)
    together += written
    if (written > longestText) return `${tooLong(what, longestText)}.`
    if (together > longestTogether)
      return `${tooLong("Environment and command line together become", longestTogether)}.`
    if (name !== undefined) sizes.set(name, bytes)
  }
  return undefined
}

/** What a name counts whose value comes from a Secret that the operator cannot read; credentials have up to 64 KiB, mostly far less. */
const unreadBytes = 1024

/** Keys that a Secret can have. */
const secretKeyPattern = /^[-._a-zA-Z0-9]{1,253}$/

/** HOME and PORT, which every server gets first. */
const ownBytes = new Map([
  ["HOME", "/tmp".length],
  ["PORT", "65535".length],
])

/** The same as {@link overExpandedBy} without the Secret's values, each of which counts as 1 KiB. */
export const overExpanded = (container: Expandable): string | undefined =>
  overExpandedBy(container, ownBytes, (name) => (secretKeyPattern.test(name) ? unreadBytes : undefined))
