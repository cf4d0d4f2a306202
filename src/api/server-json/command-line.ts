import type { Argument } from "./document.ts"
import type { Draft } from "./draft.ts"
import { wordsOf } from "./resolve.ts"
import { expandedText, literalText, type Piece } from "./template.ts"

/** The name of an argument in `arguments`; empty if it has none. */
const keyOf = ({ type, name, valueHint }: Argument): string => (type === "named" ? name : (valueHint ?? name))

/** True for a flag alone: nothing in the document says that it takes a value. */
const isBare = (each: Argument): boolean =>
  each.value === "" ||
  (each.value === undefined &&
    each.default === undefined &&
    each.valueHint === undefined &&
    each.description === undefined &&
    each.placeholder === undefined &&
    each.format === undefined &&
    each.choices === undefined &&
    !each.isSecret)

/** A flag with its value as the next word; an empty value gives the flag alone. */
const addNamed = (draft: Draft, argument: Argument, words: readonly (readonly Piece[])[]): undefined => {
  for (const pieces of words) {
    draft.arg(expandedText([{ text: argument.name }]), argument.path)
    const text = expandedText(pieces)
    if (text !== "") draft.arg(text, argument.path)
  }
}

/** Makes an argument of the package's program part of `args`: data for the program, whatever it looks like. */
export const addArgument = (draft: Draft, argument: Argument): undefined => {
  const isNamed = argument.type === "named"
  if (isNamed && !/^\S+$/.test(argument.name))
    return draft.fault([...argument.path, "name"], "must be the flag alone, such as --port, without blanks")
  if (isNamed && isBare(argument) && !draft.given.has(argument.name)) {
    draft.inputs.add(argument.name)
    return draft.arg(expandedText([{ text: argument.name }]), argument.path)
  }
  const key = keyOf(argument)
  const words = wordsOf(draft, argument, key, "expanded")
  const [first] = words
  if (key !== "" && first !== undefined) draft.texts.set(key, literalText(first))
  if (isNamed) return addNamed(draft, argument, words)
  for (const pieces of words) draft.arg(expandedText(pieces), argument.path)
}
