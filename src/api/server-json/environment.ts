import { envNamePattern } from "../kinds/container.ts"
import type { NamedInput } from "./document.ts"
import { type Draft, shown } from "./draft.ts"
import { asksFor, soleSecret, wordsOf } from "./resolve.ts"
import { expandedText, literalText } from "./template.ts"

/** Longest name of a variable, in characters (kinds/container). */
const longestName = 256

/** Declares a credential under the variable's own name. */
const addSecret = (draft: Draft, variable: NamedInput, key: string, secret: NamedInput): undefined => {
  draft.inputs.add(key)
  const required = asksFor(draft, key) || variable.isRequired || secret.isRequired
  if (secret.default !== undefined)
    draft.warn(
      secret.path,
      `is a secret, so that its default is not used: set ${shown(variable.name, 64)} for everybody`,
    )
  draft.credential(variable.name, required, secret.description ?? variable.description, variable.path)
}

/** Makes a variable: a credential if it is a secret, else part of `env`; nothing if it is optional and has no value. */
export const addVariable = (draft: Draft, variable: NamedInput): undefined => {
  const { name, path, isSecret, value } = variable
  if (name.length > longestName || !envNamePattern.test(name))
    return draft.fault([...path, "name"], "must be letters, digits and '_', not beginning with a digit")
  if (draft.hasVariable(name)) return draft.warn(path, `names ${shown(name, 64)} a second time: the first counts`)
  if (isSecret && value === undefined) return addSecret(draft, variable, name, variable)
  const sole = soleSecret(variable)
  if (sole !== undefined) return addSecret(draft, variable, sole.name, { ...sole.input, name })
  const [pieces] = wordsOf(draft, variable, name, "expanded")
  if (pieces === undefined) return
  if (isSecret && pieces.every((piece) => "text" in piece))
    draft.warn(path, "has a fixed value: it is a secret to nobody who can read the document or the target")
  draft.texts.set(name, literalText(pieces))
  draft.variable(name, expandedText(pieces), path)
}
