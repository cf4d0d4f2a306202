/**
 * A caller described by flags: the subject of a token (`reflow token`), or the example caller of `reflow plugin check`.
 */
import { AppError } from "../errors.ts"

/** A `UsageInvalid` error: the command line cannot be understood (exit code 2). */
export const wrong = (detail: string): AppError => new AppError("UsageInvalid", { detail })

/** Returns the values given for a flag (without `--`), in order; empty if the flag is absent. */
export type Values = (flag: string) => readonly string[]

/** A caller, as the flags describe it. */
export type Caller = {
  readonly subject: string | undefined
  readonly groups: readonly string[]
  readonly roles: readonly string[]
  /** Other claims, `email` among them. */
  readonly claims: Readonly<Record<string, unknown>>
}

/** Claims that --claim must not set: another flag sets the claim, or the program does when it mints the token. */
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
  if (ownClaims.includes(name)) throw wrong(`--claim cannot set ${name}: another flag sets it, or the program itself`)
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
