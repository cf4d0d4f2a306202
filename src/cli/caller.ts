/** A caller as the command line describes one: whose token to mint, and for whom a plugin is tried. */
import { AppError } from "../errors.ts"

/** The error for arguments that make no sense. */
export const wrong = (detail: string): AppError => new AppError("UsageInvalid", { detail })

/** The values of a flag, in order. */
export type Values = (flag: string) => readonly string[]

/** What flags say of a caller. */
export type Caller = {
  readonly subject: string | undefined
  readonly groups: readonly string[]
  readonly roles: readonly string[]
  /** Other claims, `email` among them. */
  readonly claims: Readonly<Record<string, unknown>>
}

/** Claims that other flags or the token itself are responsible for. */
const ownClaims: readonly string[] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "groups", "roles"]

const jsonClaim = (name: string, text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    throw wrong(`--claim ${name}:= must be followed by JSON, e.g. --claim ${name}:=true; for text write ${name}=…`)
  }
}

/** `NAME=text` or `NAME:=JSON`; the name of a claim may be a URL. */
const claimOf = (text: string): readonly [string, unknown] => {
  const [, left = "", value = ""] = /^([^=]+)=([\s\S]+)$/.exec(text) ?? []
  const isJson = left.endsWith(":")
  const name = isJson ? left.slice(0, -1) : left
  if (name === "")
    throw wrong("--claim needs NAME=TEXT, e.g. --claim tenant=acme, or NAME:=JSON, e.g. --claim beta:=true")
  if (ownClaims.includes(name)) throw wrong(`--claim cannot set ${name}: other flags do, or the token itself`)
  return [name, isJson ? jsonClaim(name, value) : value]
}

/** The claims that --claim and --email set. */
const claimsOf = (all: Values): Readonly<Record<string, unknown>> => {
  const claims = [...all("email").map((email) => ["email", email] as const), ...all("claim").map(claimOf)]
  const twice = claims.find(([name], index) => claims.findIndex(([each]) => each === name) < index)
  if (twice !== undefined) throw wrong(`The claim ${twice[0]} is given twice`)
  return Object.fromEntries(claims)
}

/** The caller that --subject, --email, --group, --grant-role and --claim describe. Throws UsageInvalid. */
export const callerOf = (all: Values): Caller => ({
  subject: all("subject")[0],
  groups: all("group"),
  roles: all("grant-role"),
  claims: claimsOf(all),
})
