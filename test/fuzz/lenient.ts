/**
 * Models of JSON parsers that are less strict than ours. A text is read into a tree that keeps every member as it stands,
 * by a parser that shares nothing with the gateway's; each model then looks members up in its own way.
 */

/** A JSON value with all members of its objects, in order; strings, numbers and the rest as JSON.parse has them. */
export type Tree =
  | { readonly kind: "object"; readonly members: readonly (readonly [string, Tree])[] }
  | { readonly kind: "array"; readonly elements: readonly Tree[] }
  | { readonly kind: "plain"; readonly value: unknown }

const token = /\s*(?:([{}[\]:,])|("(?:[^"\\]|\\.)*")|([^\s{}[\]:,"]+))/gy

/** Reads a text that JSON.parse accepts. */
export const treeOf = (text: string): Tree => {
  const tokens = [...text.matchAll(new RegExp(token))].map(([, mark, string, word]) => mark ?? string ?? word ?? "")
  let at = 0
  const value = (): Tree => {
    const first = tokens[at++] ?? ""
    if (first === "[") {
      const elements: Tree[] = []
      while (tokens[at] !== "]") {
        elements.push(value())
        if (tokens[at] === ",") at++
      }
      at++
      return { kind: "array", elements }
    }
    if (first !== "{") return { kind: "plain", value: JSON.parse(first) }
    const members: [string, Tree][] = []
    while (tokens[at] !== "}") {
      const key: string = JSON.parse(tokens[at] ?? "")
      at += 2
      members.push([key, value()])
      if (tokens[at] === ",") at++
    }
    at++
    return { kind: "object", members }
  }
  return value()
}

/** How a parser finds the member of a name. */
export type Model = { readonly name: string; readonly find: (tree: Tree | undefined, key: string) => Tree | undefined }

const goFold = (text: string): string => text.replaceAll("\u212a", "k").replaceAll("\u017f", "s").toLowerCase()

/** What different parsers make of a key before they compare it. */
const spellings: Readonly<Record<string, (key: string) => string>> = {
  exact: (key) => key,
  lower: (key) => key.toLowerCase(),
  upper: (key) => key.toUpperCase(),
  turkish: (key) => key.toLocaleLowerCase("tr"),
  "turkish upper": (key) => key.toLocaleUpperCase("tr"),
  go: goFold,
  "without NUL": (key) => key.replaceAll("\0", ""),
  "to NUL": (key) => key.split("\0", 1)[0] ?? "",
  "to NUL, in any case": (key) => goFold(key.split("\0", 1)[0] ?? ""),
  "without halves of pairs": (key) => key.replaceAll(/\p{Cs}/gu, ""),
  compatible: (key) => key.normalize("NFKC"),
  "compatible, in any case": (key) => key.normalize("NFKC").toLowerCase(),
}

const firstOrLast = ["first", "last"] as const

/** Every way of comparing keys, with the first and with the last of several counting. */
export const models: readonly Model[] = Object.entries(spellings).flatMap(([name, spell]) =>
  firstOrLast.map((which) => ({
    name: `${name}, ${which} one counts`,
    find: (tree, key) => {
      if (tree?.kind !== "object") return undefined
      const matches = tree.members.filter(([each]) => spell(each) === spell(key))
      return (which === "first" ? matches[0] : matches.at(-1))?.[1]
    },
  })),
)

/** The value of a tree that is no object or array. */
export const plainOf = (tree: Tree | undefined): unknown => (tree?.kind === "plain" ? tree.value : tree?.kind)

/** What programs may make of a text before they compare it with a name. */
export const readingsOfText = (text: string): readonly string[] => [
  text,
  text.replaceAll("\0", ""),
  text.split("\0", 1)[0] ?? "",
  text.replaceAll(/\p{Cc}/gu, ""),
  text.replaceAll(/\p{Cs}/gu, ""),
]
