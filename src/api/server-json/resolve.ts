/** From an input of the document to text: its fixed value, what the caller gives, or its default. */
import type { Input } from "./document.ts"
import { type Draft, shown } from "./draft.ts"
import { isTooLong, type Piece, splitTemplate } from "./template.ts"

/**
 * How an input is used. `expanded`: in args and env, where Kubernetes leaves the text `$(NAME)` of a credential that has no
 * value. `header`: a header without its credential is left out. `literal`: no credential can stand there.
 */
export type Use = "expanded" | "header" | "literal"

/** The name of an environment variable made of any name: `--api-key` → `API_KEY`. Empty if no letter or digit is in it. */
export const variableName = (name: string): string => {
  const plain = name
    .toUpperCase()
    .replaceAll(/[^A-Z0-9]+/g, "_")
    .replace(/^_/, "")
    .replace(/_$/, "")
  return /^[0-9]/.test(plain) ? `_${plain}` : plain
}

/** The first choices, for a message. */
const choicesText = (choices: readonly string[]): string =>
  choices
    .slice(0, 20)
    .map((choice) => shown(choice, 64))
    .join(", ")

/** What an input is, for somebody who is to give it. */
const hintOf = ({ description, placeholder, choices }: Input): string => {
  const parts = [
    description === undefined ? "" : shown(description),
    choices === undefined ? "" : `one of ${choicesText(choices)}`,
    placeholder === undefined ? "" : `e.g. ${shown(placeholder, 80)}`,
  ].filter((part) => part !== "")
  return parts.length === 0 ? "" : `: ${parts.join("; ")}`
}

const formRules = {
  number: {
    holds: (text: string) => /^[+-]?[0-9]{1,32}(\.[0-9]{1,32})?$/.test(text),
    rule: "must be a decimal number",
  },
  boolean: { holds: (text: string) => text === "true" || text === "false", rule: "must be true or false" },
}

/** The rule that a text breaks as the value of an input; undefined if it holds. */
const ruleBroken = ({ format, choices }: Input, text: string): string | undefined => {
  if (choices !== undefined && !choices.includes(text)) return `must be one of ${choicesText(choices)}`
  const form = format === "number" || format === "boolean" ? formRules[format] : undefined
  return form === undefined || form.holds(text) ? undefined : form.rule
}

const noFile = "is a file of the user's machine, which no instance has"
const isTrue = (texts: readonly string[] | undefined): boolean => texts?.length === 1 && texts[0] === "true"

/** True if the caller asks for a secret input. Its value is never given: each user sets the credential. */
export const asksFor = (draft: Draft, key: string): boolean => {
  const texts = draft.given.get(key)
  if (texts !== undefined && !isTrue(texts))
    draft.want(key, "is a secret: users set it as a credential, and true makes it required")
  return isTrue(texts)
}

/** A credential as a piece; undefined, with a warning, if it is optional where it cannot be absent. */
const secretPiece = (draft: Draft, input: Input, key: string, use: Use): Piece | undefined => {
  const name = variableName(key)
  if (use === "literal") return draft.fault(input.path, "is a secret in a URL, where no credential can stand")
  if (name === "") return draft.fault(input.path, "is a secret without a name that a credential could have")
  const required = asksFor(draft, key) || input.isRequired
  if (use === "expanded" && !required)
    return draft.warn(
      input.path,
      `is left out, since a credential on a command line cannot be optional: give true for ${shown(key, 64)} in arguments to require it`,
    )
  draft.credential(name, required, input.description, input.path)
  return { credential: name }
}

const givenTexts = (draft: Draft, input: Input, key: string, texts: readonly string[]): readonly string[] => {
  if (input.format === "filepath") return draft.want(key, noFile) ?? []
  if (texts.length !== 1 && !input.isRepeated) return draft.want(key, "takes one value") ?? []
  const broken = texts.map((text) => ruleBroken(input, text)).find((rule) => rule !== undefined)
  return broken === undefined ? texts : (draft.want(key, broken) ?? [])
}

/** The texts of an input that is neither fixed nor secret; none if it stays absent. */
const plainTexts = (draft: Draft, input: Input, key: string): readonly string[] => {
  const texts = draft.given.get(key)
  if (texts !== undefined) return givenTexts(draft, input, key, texts)
  if (input.format === "filepath") {
    if (input.isRequired) draft.fault(input.path, noFile)
    else draft.warn(input.path, `is left out: it ${noFile}`)
    return []
  }
  if (input.default !== undefined) {
    const broken = ruleBroken(input, input.default)
    return broken === undefined ? [input.default] : (draft.want(key, `${broken}; the document's default is not`) ?? [])
  }
  if (input.isRequired) draft.want(key, `is required${hintOf(input)}`)
  return []
}

/** A variable of a template as the input it stands for: secrecy and need of the whole hold for it too. */
const variableOf = (outer: Input, name: string): Input | undefined => {
  const own = outer.variables.get(name)
  if (own === undefined && !outer.isSecret) return undefined
  const input = own ?? { ...outer, value: undefined, default: undefined, choices: undefined, variables: new Map() }
  return {
    ...input,
    description: input.description ?? outer.description,
    isRequired: input.isRequired || outer.isRequired,
    isSecret: input.isSecret || (outer.isSecret && input.choices === undefined),
    isRepeated: false,
  }
}

const variablePiece = (draft: Draft, outer: Input, name: string, use: Use): Piece | undefined => {
  const input = variableOf(outer, name)
  if (input === undefined) {
    draft.warn(outer.path, `has {${shown(name, 64)}}, which none of its variables has: it stays as it is`)
    return { text: `{${name}}` }
  }
  if (input.value !== undefined) return { text: input.value }
  draft.inputs.add(name)
  if (input.isSecret) return secretPiece(draft, input, name, use)
  const [text] = plainTexts(draft, input, name)
  return text === undefined ? undefined : { text }
}

/** The pieces of a fixed value; undefined if one of its variables stays absent. */
const templatePieces = (draft: Draft, input: Input, template: string, use: Use): readonly Piece[] | undefined => {
  const parts = splitTemplate(template)
  const names = new Set(parts.flatMap((part) => ("variable" in part ? [part.variable] : [])))
  const found = new Map([...names].map((name) => [name, variablePiece(draft, input, name, use)]))
  const pieces = parts.map((part) => ("text" in part ? part : found.get(part.variable)))
  if (!pieces.every((piece) => piece !== undefined)) return undefined
  return isTooLong(pieces) ? draft.fault(input.path, "becomes too long with its variables") : pieces
}

/** The secret variable that a value consists of, with its name; undefined if there is more or less in it. */
export const soleSecret = (input: Input): { readonly name: string; readonly input: Input } | undefined => {
  const [part, ...more] = input.value === undefined ? [] : splitTemplate(input.value)
  if (part === undefined || "text" in part || more.length > 0) return undefined
  const found = variableOf(input, part.variable)
  return found?.isSecret === true && found.value === undefined ? { name: part.variable, input: found } : undefined
}

/**
 * The words of an input, each as its pieces: several if it is repeated, none if it stays absent. What is missing or wrong
 * is noted in the draft. `key` is its name in `arguments`.
 */
export const wordsOf = (draft: Draft, input: Input, key: string, use: Use): readonly (readonly Piece[])[] => {
  if (input.value !== undefined) {
    const pieces = templatePieces(draft, input, input.value, use)
    return pieces === undefined ? [] : [pieces]
  }
  if (key === "") return draft.fault(input.path, "has neither value nor valueHint, so that nobody can give it") ?? []
  draft.inputs.add(key)
  if (input.isSecret) {
    const piece = secretPiece(draft, input, key, use)
    return piece === undefined ? [] : [[piece]]
  }
  return plainTexts(draft, input, key).map((text) => [{ text }])
}
