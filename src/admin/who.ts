import type { MCPTarget } from "../api/kinds/mcp-target.ts"
import { AppError, isAppError } from "../errors.ts"
import { subjectKeyFor } from "../identity/subject-key.ts"
import type { Call, Handler } from "./call.ts"
import { toPage } from "./page.ts"

/** A role, group or user of one issuer. */
export type Who = { readonly issuer: string; readonly name: string }

/** Maximum length of issuer/name, in characters. */
export const maxWho = 1_024

/** Names of issuers; see auth.issuers[].name in src/config/schema.ts. */
const issuerPattern = /^[a-z]([-a-z0-9]{0,30}[a-z0-9])?$/

const invalid = (detail: string, issuers: readonly string[]): AppError =>
  new AppError("InvalidParams", { detail, data: { issuers } })

const named = (text: string, issuers: readonly string[]): Who | undefined => {
  const issuer = issuers.find((each) => text.startsWith(`${each}/`))
  return issuer === undefined ? undefined : { issuer, name: text.slice(issuer.length + 1) }
}

/** The text before the first slash; empty if there is no slash or the text begins with it. */
const firstPart = (text: string): string => text.slice(0, Math.max(0, text.indexOf("/")))

const checked = (who: Who, issuers: readonly string[]): Who => {
  if (who.name === "") throw invalid("The name of the role, group or user is empty.", issuers)
  return who
}

const checkText = (text: string, issuers: readonly string[]): void => {
  if (text.length > maxWho)
    throw invalid(`The name of a role, group or user has at most ${maxWho} characters.`, issuers)
  if (!text.isWellFormed()) throw invalid("The name of a role, group or user is no valid Unicode.", issuers)
}

const configured = (issuers: readonly string[]): string =>
  issuers.length === 0 ? "none is configured" : `configured are: ${issuers.join(", ")}`

/**
 * Parses `issuer/name` of a configured issuer, or the name alone if exactly one issuer is configured. A name that
 * contains a slash needs its issuer, since its first part could be an issuer that is not configured; a slash at its
 * beginning is allowed. Throws `InvalidParams` with the configured `issuers` in its data.
 */
export const parseWho = (text: string, issuers: readonly string[]): Who => {
  checkText(text, issuers)
  const known = named(text, issuers)
  if (known !== undefined) return checked(known, issuers)
  const first = firstPart(text)
  const [only, ...others] = issuers
  if (first !== "") {
    const meant =
      only !== undefined && others.length === 0 ? `; if all of it is the name, write ${only}/ before it` : ""
    throw invalid(`There is no issuer '${first.slice(0, 64)}'; ${configured(issuers)}${meant}.`, issuers)
  }
  if (only === undefined || others.length > 0)
    throw invalid(`Name the issuer too, as issuer/name; ${configured(issuers)}.`, issuers)
  // the issuer alone: a script's dev/$NAME with an empty $NAME can arrive like this
  if (text === only)
    throw invalid(`${only} is the issuer: write ${only}/NAME, or ${only}/${only} for the name ${only}.`, issuers)
  return checked({ issuer: only, name: text }, issuers)
}

/**
 * The roles, groups or users that a text may have meant when values were stored under it. For a configured issuer that
 * is the result of {@link parseWho}. Else first issuer/name of an issuer that is no longer configured, then the whole
 * text as a name of the only issuer. Empty if the text cannot have meant any.
 */
export const formerly = (text: string, issuers: readonly string[]): readonly Who[] => {
  checkText(text, issuers)
  const known = named(text, issuers)
  if (known !== undefined) return [checked(known, issuers)]
  const first = firstPart(text)
  const [only, ...others] = issuers
  const gone = issuerPattern.test(first) ? [{ issuer: first, name: text.slice(first.length + 1) }] : []
  const bare = only === undefined || others.length > 0 ? [] : [{ issuer: only, name: text }]
  return [...gone, ...bare].filter(({ name }) => name !== "")
}

/** The text `issuer/name`, which {@link parseWho} parses. */
export const whoText = ({ issuer, name }: Who): string => `${issuer}/${name}`

/** The caller's subject key for a target, or why there is none. */
const keyFor = async ({ deps, identity, requestId }: Call, target: MCPTarget) => {
  const { name } = target.metadata
  const { access, strategies } = deps
  try {
    const options = { issuers: access.issuers, requestId, ...(strategies === undefined ? {} : { strategies }) }
    return { name, subject_key: await subjectKeyFor(target, identity, options) }
  } catch (error) {
    if (isAppError(error)) return { name, denied: error.message }
    throw error
  }
}

/** GET /api/whoami: the caller's identity, and their subject key for each target that they may use. */
export const whoami: Handler = async (call) => {
  const { identity, admin, deps } = call
  const { source, issuer, subject, email, groups, roles, scopes } = identity
  const usable = [...deps.targets.items()].filter((target) => deps.access.mayUse(target, identity))
  const page = toPage(usable, call.query)
  return {
    body: {
      identity: { source, issuer, subject, email, groups, roles, scopes, admin },
      targets: await Promise.all(page.items.map((target) => keyFor(call, target))),
      continue: page.continue,
    },
  }
}
