/** Takes credentials out of text that others are going to read. */
export type Mask = (text: string) => string

/** What stands where a credential was. */
const masked = "***"

/** User and password in a URL. The class has no slash, so that the search begins again behind what it has read. */
const userOfUrl = /\/\/[^\s/?#"'<>]{1,1024}@/g

/** The fewest characters of a secret: to mask shorter ones would make every line unreadable, and hide nothing. */
const shortest = 3

/** The forms in which programs repeat a secret: as it is, in base64 with and without padding, percent-encoded, in JSON. */
const formsOf = (secret: string): readonly string[] => {
  const base64 = Buffer.from(secret).toString("base64")
  return [
    secret,
    base64,
    base64.replaceAll("=", ""),
    Buffer.from(secret).toString("base64url"),
    encodeURIComponent(secret),
    encodeURI(secret),
    JSON.stringify(secret).slice(1, -1),
  ]
}

/**
 * Creates a mask for these secrets, in all the forms in which they are repeated, and for `user:password@` of every URL.
 * The longest forms go first, since one may contain another.
 */
export const createMask = (secrets: readonly string[]): Mask => {
  const forms = [...new Set(secrets.flatMap(formsOf))].filter(({ length }) => length >= shortest)
  forms.sort((one, other) => other.length - one.length)
  return (text) =>
    forms.reduce((rest, form) => rest.replaceAll(form, masked), text).replaceAll(userOfUrl, `//${masked}@`)
}
