/**
 * What may be repeated of the API server's words about a refused Secret. They may quote its values: a webhook or a policy
 * says whatever it likes, a schema error repeats the value. So nothing is repeated but sentences of Kubernetes' own that
 * are known from end to end, and of the others the names in front. Each test looks at a text once.
 */

/** Names of Kubernetes objects and resources, lists of `resource=amount`; nothing that a value could hide in. */
const isPlain = (text: string): boolean => /^[A-Za-z0-9./=,-]{1,512}$/.test(text)

/**
 * Which quota has no room, what was requested, used and limited, as the API server's quota says it of any kind of object
 * (`exceeded quota: NAME, requested: …, used: …, limited: …`, Kubernetes' resourcequota admission). Undefined for all else.
 */
export const quotaWords = (message: string): string | undefined => {
  const refused = /^[a-z0-9.-]{1,253} "[^"]{0,253}" is forbidden: (?=exceeded quota: )/.exec(message)
  if (refused === null) return undefined
  const words = message.slice(refused[0].length)
  const parts = words.split(", ", 5)
  const names = ["exceeded quota: ", "requested: ", "used: ", "limited: "]
  const isKnown = ([name, part]: readonly [string, string | undefined]) =>
    part?.startsWith(name) === true && isPlain(part.slice(name.length))
  return parts.length === names.length && names.every((name, index) => isKnown([name, parts[index]]))
    ? words
    : undefined
}

/** Sentences that hold nothing but names, as a whole. */
const whole: readonly RegExp[] = [
  // RBAC
  /^secrets(?: "[a-z0-9.-]{1,253}")? is forbidden: User "[A-Za-z0-9:._@-]{1,253}" cannot [a-z]{1,16} resource "secrets" in API group "" in the namespace "[a-z0-9-]{1,63}"/,
  /^secrets "[a-z0-9.-]{1,253}" is forbidden: unable to create new content in namespace [a-z0-9-]{1,63} because it is being terminated/,
  /^namespaces "[a-z0-9-]{1,63}" not found/,
]

/** Beginnings that name who refused; what stands behind them is their own. */
const beginnings: readonly RegExp[] = [
  /^admission webhook "[a-z0-9.-]{1,253}" denied the request/,
  /^Internal error occurred: failed calling webhook "[a-z0-9.-]{1,253}"/,
  /^secrets "[a-z0-9.-]{1,253}" is forbidden: ValidatingAdmissionPolicy '[a-z0-9.-]{1,253}' with binding '[a-z0-9.-]{1,253}' denied request/,
]

/** What is safe of a message about a Secret; undefined if nothing is. */
export const safeWords = (message: string): string | undefined => {
  const quota = quotaWords(message)
  if (quota !== undefined) return quota
  for (const sentence of [...whole, ...beginnings]) {
    const said = sentence.exec(message)?.[0]
    if (said !== undefined) return said
  }
  return undefined
}
