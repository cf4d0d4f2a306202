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

/**
 * Longest argument, or `NAME=value` of a variable, that Linux passes to a program, in bytes with the NUL at the end
 * (MAX_ARG_STRLEN).
 */
export const longestText = 128 * 1024

/** Most bytes of all arguments and variables together: a quarter of the usual stack of 8 MiB (execve(2)). */
export const longestTogether = 2 * 1024 * 1024

/** A piece of a text: literal text, or the name in `$(NAME)`. */
type Piece = { readonly text: string } | { readonly name: string }

/**
 * The pieces of a text. `$$` is `$`; `$(` without a `)` after it stays; any other `$` stays. A name is everything up to
 * the next `)`. Takes time linear in the text; the kubelet's loop is quadratic.
 */
function* piecesOf(text: string): Generator<Piece> {
  let from = 0
  let at = text.indexOf("$")
  while (at !== -1) {
    const next = text[at + 1]
    const end = next === "(" ? text.indexOf(")", at + 2) : -1
    // there is no `)` in the rest, so no name either; searching for one at each `$(` would be quadratic
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

/** A text without `)`: only `$$` has a meaning in it. */
function* escapesIn(rest: string): Generator<Piece> {
  yield { text: rest.replaceAll("$$", "$") }
}

/** Returns the value of a name; undefined if it has none. */
type LookUp = (name: string) => string | undefined

/** `text` with each `$(NAME)` replaced by its value; names without a value stay. Values are not expanded again. */
export const expand = (text: string, lookUp: LookUp): string => {
  let made = ""
  for (const piece of piecesOf(text)) made += "text" in piece ? piece.text : (lookUp(piece.name) ?? `$(${piece.name})`)
  return made
}

/** Returns how many bytes the value of a name has; undefined if it has none. */
type BytesOf = (name: string) => number | undefined

const bytesIn = (text: string, bytesOf: BytesOf): number => {
  let bytes = 0
  for (const piece of piecesOf(text))
    bytes +=
      "text" in piece ? Buffer.byteLength(piece.text) : (bytesOf(piece.name) ?? Buffer.byteLength(piece.name) + 3)
  return bytes
}

const tooLong = (what: string, most: number): string =>
  `${what} longer than ${most} bytes, the most that a program can be started with: use $(NAME) less often in it`

/**
 * The texts that are expanded, in the kubelet's order; `name` is the variable that gets the text, `what` begins a
 * message.
 */
const textsOf = ({ env = [], command = [], args = [] }: Expandable) => [
  ...env.map(({ name, value = "" }) => ({ what: `The environment variable ${name} becomes`, name, text: value })),
  ...[...command, ...args].map((text) => ({ what: "A word of the command line becomes", name: undefined, text })),
]

/**
 * Why a container cannot be started because its texts expand to too many bytes; undefined if it can. Only lengths are
 * added up and no text is expanded, because variables that name earlier ones twice would double in size each time.
 * `known` has the lengths of the variables that are set before `env`. A name without a known length counts as `unknown`
 * returns, or as the text `$(NAME)` if that is undefined. Takes time linear in the size of the container.
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

/**
 * Assumed length of a value in a Secret, which the operator cannot read. Credentials have at most 64 KiB, mostly far
 * less.
 */
const unreadBytes = 1024

/** The keys that a Secret's `data` can have. */
const secretKeyPattern = /^[-._a-zA-Z0-9]{1,253}$/

/** Longest values of HOME and PORT, which the operator sets before `env`, in bytes. */
const ownBytes = new Map([
  ["HOME", "/tmp".length],
  ["PORT", "65535".length],
])

/**
 * {@link overExpandedBy} for a caller without the Secret's values: each name that a Secret can have counts as 1 KiB.
 */
export const overExpanded = (container: Expandable): string | undefined =>
  overExpandedBy(container, ownBytes, (name) => (secretKeyPattern.test(name) ? unreadBytes : undefined))
