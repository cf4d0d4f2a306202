import { misleading } from "../api/foreign-text.ts"
import type { MCPTarget } from "../api/kinds/mcp-target.ts"
import { AppError } from "../errors.ts"
import { scopesAllowed } from "./scopes.ts"

/** A credential without a value. */
type Missing = {
  /** Name of the environment variable. */
  readonly name: string
  /** Description in the target's `credentials`. */
  readonly description?: string | undefined
  /** Why the plugin that resolves the value found none; in the plugin's text. */
  readonly reason?: string
}

/**
 * Most credentials that the detail describes, and most UTF-16 units of a description in it; the error's data has all.
 */
const maxDescribed = 5
const maxDescription = 300
/** Most names in the detail and in the command. */
const maxNamed = 20

/** A target's or plugin's text in one line, without control and format characters, which could mislead. */
const oneLine = (text: string): string => text.toWellFormed().replaceAll(misleading, " ").replaceAll(/\s+/g, " ").trim()

const cut = (text: string): string =>
  text.length > maxDescription ? `${text.slice(0, maxDescription).toWellFormed()}…` : text

const listed = (names: readonly string[]): string =>
  names.length > maxNamed
    ? `${names.slice(0, maxNamed).join(", ")} and ${names.length - maxNamed} more`
    : names.join(", ")

const sentence = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`)

/** ` NAME: description. Reason.` for each credential that has a description or a reason. */
const descriptionsOf = (missing: readonly Missing[]): string =>
  missing
    .map(({ name, description = "", reason = "" }) => ({
      name,
      texts: [description, reason].map(oneLine).filter((text) => text !== ""),
    }))
    .filter(({ texts }) => texts.length > 0)
    .slice(0, maxDescribed)
    .map(({ name, texts }) => ` ${name}: ${texts.map((text) => sentence(cut(text))).join(" ")}`)
    .join("")

/** One missing credential as the error's data has it. */
const toFact = ({ name, description, reason = "" }: Missing) => ({
  name,
  ...(description === undefined ? {} : { description: oneLine(description) }),
  ...(reason === "" ? {} : { reason: oneLine(reason) }),
})

/** A command that sets these values and leaves others as they are. Names of credentials need no quoting. */
const commandFor = (url: string, names: readonly string[]): string => {
  const body = Object.fromEntries(names.slice(0, maxNamed).map((name) => [name, "VALUE"]))
  return `curl -X PATCH ${url} -H 'Authorization: Bearer TOKEN' -H 'Content-Type: application/merge-patch+json' -d '${JSON.stringify(body)}'`
}

/** How values are set or changed, where callers of the target may do that, else where an administrator does it. */
const remedyFor = (target: MCPTarget, names: readonly string[], apiUrl: string) => {
  const own = scopesAllowed(target).includes("user")
  const url = `${apiUrl}/targets/${target.metadata.name}/env/${own ? "me" : "default"}`
  const command = commandFor(url, names)
  const how = own ? "Set yours with" : "An administrator can set it for everybody with"
  return { url, command, text: `${how}: ${command} (TOKEN is a token for ${apiUrl}).` }
}

/**
 * The error CredentialMissing. Its detail has the missing names with the target's descriptions and the plugin's
 * reasons, and the command that sets the values: callers set them on per_user targets, an administrator on all others.
 * MCP clients often show their user nothing but the detail.
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
  const needs = `${targetName} needs ${names.length === 1 ? "the credential" : "the credentials"} ${listed(names)}.${descriptionsOf(missing)}`
  const credentials = missing.map(toFact)
  if (apiUrl === undefined) return new AppError("CredentialMissing", { detail: needs, data: { names, credentials } })
  const { url, command, text } = remedyFor(target, names, apiUrl)
  return new AppError("CredentialMissing", {
    detail: `${needs} ${text}`,
    data: { names, credentials, url, command },
  })
}

/** What is known of credentials that a remote server has refused. */
type Rejection = {
  /** Names of the credentials in the headers of the request. */
  readonly names: readonly string[]
  /** The server's HTTP status: 401, or 403. */
  readonly status: number
}

/**
 * The error UpstreamLoginRejected: a remote server did not accept the caller's login. Its detail has the credentials
 * that the request carried, and the command that changes them. It never has the server's own text.
 */
export const loginRejected = (
  target: MCPTarget,
  { names, status }: Rejection,
  apiUrl: string | undefined,
): AppError => {
  const { name } = target.metadata
  const lacks = status === 403 ? " It may also be that the account lacks a permission." : ""
  if (names.length === 0)
    return new AppError("UpstreamLoginRejected", {
      detail: `The server of ${name} answered ${status}, and its target sends no credential: an administrator can add one to remote.headers.${lacks}`,
      data: { names, upstream_status: status },
    })
  const what = `The server of ${name} answered ${status} to the ${names.length === 1 ? "credential" : "credentials"} ${listed(names)}.${lacks}`
  const data = { names, upstream_status: status }
  if (apiUrl === undefined) return new AppError("UpstreamLoginRejected", { detail: what, data })
  const { url, command, text } = remedyFor(target, names, apiUrl)
  return new AppError("UpstreamLoginRejected", { detail: `${what} ${text}`, data: { ...data, url, command } })
}
