import type { MCPTarget } from "../api/mcp-target.ts"
import { AppError } from "../errors.ts"
import { scopesAllowed } from "./scopes.ts"

/** A credential without a value. */
export type Missing = {
  /** Of the variable. */
  readonly name: string
  /** By the target: what it is. */
  readonly description?: string | undefined
  /** By the plugin that was asked for it: why there is none. */
  readonly reason?: string
}

/** Most credentials that the sentence describes, and most characters of a description in it; the error's data has all. */
const maxDescribed = 5
const maxDescription = 300
/** Most names in the sentence and in the command. */
const maxNamed = 20

/** A description by whoever wrote the target, in one line, without what controls or misleads a screen. */
const oneLine = (text: string): string =>
  text
    .toWellFormed()
    .replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\s]/gu, " ")
    .replaceAll(/ {2,}/g, " ")
    .trim()

const cut = (text: string): string =>
  text.length > maxDescription ? `${text.slice(0, maxDescription).toWellFormed()}…` : text

const listed = (names: readonly string[]): string =>
  names.length > maxNamed
    ? `${names.slice(0, maxNamed).join(", ")} and ${names.length - maxNamed} more`
    : names.join(", ")

const sentence = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`)

/** ` NAME: what it is. Why there is none.` of each of which something is said. */
const wordsOf = (missing: readonly Missing[]): string =>
  missing
    .map(({ name, description = "", reason = "" }) => ({
      name,
      texts: [description, reason].map(oneLine).filter((text) => text !== ""),
    }))
    .filter(({ texts }) => texts.length > 0)
    .slice(0, maxDescribed)
    .map(({ name, texts }) => ` ${name}: ${texts.map((text) => sentence(cut(text))).join(" ")}`)
    .join("")

/** What the error's data tells of one. */
const toFact = ({ name, description, reason = "" }: Missing) => ({
  name,
  ...(description === undefined ? {} : { description: oneLine(description) }),
  ...(reason === "" ? {} : { reason: oneLine(reason) }),
})

/** Sets these values and leaves others as they are. Names of credentials need no quoting. */
const commandFor = (url: string, names: readonly string[]): string => {
  const body = Object.fromEntries(names.slice(0, maxNamed).map((name) => [name, "VALUE"]))
  return `curl -X PATCH ${url} -H 'Authorization: Bearer TOKEN' -H 'Content-Type: application/merge-patch+json' -d '${JSON.stringify(body)}'`
}

/**
 * Says which values are missing, what they are by the target's own words, why by those of a plugin, and how they are set: by
 * callers where instances are theirs alone, else by an administrator. The sentence is for the person behind an MCP client, who
 * often sees no more.
 *
 * @param apiUrl URL of the REST API, e.g. `https://mcp.example.com/api`; absent where there is none.
 */
export const credentialMissing = (
  target: MCPTarget,
  missing: readonly Missing[],
  apiUrl: string | undefined,
): AppError => {
  const names = missing.map(({ name }) => name)
  const { name: targetName } = target.metadata
  const needs = `${targetName} needs ${names.length === 1 ? "the credential" : "the credentials"} ${listed(names)}.${wordsOf(missing)}`
  const credentials = missing.map(toFact)
  if (apiUrl === undefined) return new AppError("CredentialMissing", { detail: needs, data: { names, credentials } })
  const own = scopesAllowed(target).includes("user")
  const url = `${apiUrl}/targets/${targetName}/env/${own ? "me" : "default"}`
  const command = commandFor(url, names)
  const how = own ? "Set yours with" : "An administrator can set it for everybody with"
  return new AppError("CredentialMissing", {
    detail: `${needs} ${how}: ${command} (TOKEN is a token for ${apiUrl}).`,
    data: { names, credentials, url, command },
  })
}
