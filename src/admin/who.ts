import { AppError } from "../errors.ts"

/** A role, group or user of one issuer. */
export type Who = { readonly issuer: string; readonly name: string }

/** Longest name of a role, group or user with its issuer, in characters. */
export const maxWho = 1_024

const invalid = (detail: string): AppError => new AppError("InvalidParams", { detail })

/** `issuer/name`, or the bare name while one issuer is configured. Throws `InvalidParams`. */
export const parseWho = (text: string, issuers: readonly string[]): Who => {
  if (text.length > maxWho) throw invalid(`The name of a role, group or user has at most ${maxWho} characters.`)
  if (!text.isWellFormed()) throw invalid("The name of a role, group or user is no valid Unicode.")
  const issuer = issuers.find((each) => text.startsWith(`${each}/`))
  const [only, ...others] = issuers
  if (issuer === undefined && (only === undefined || others.length > 0))
    throw invalid(`Name the issuer too, as issuer/name; configured are: ${issuers.join(", ")}.`)
  const who =
    issuer === undefined ? { issuer: only ?? "", name: text } : { issuer, name: text.slice(issuer.length + 1) }
  if (who.name === "") throw invalid("The name of the role, group or user is empty.")
  return who
}

/** {@link parseWho} backwards. */
export const whoText = ({ issuer, name }: Who): string => `${issuer}/${name}`
