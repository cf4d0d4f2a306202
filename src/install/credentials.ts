import { readFileSync } from "node:fs"
import { join } from "node:path"
import { systemCode } from "../errors.ts"
import { type Failure, failure } from "./order.ts"

/** What a registry asks for. */
export type Credentials =
  | { readonly kind: "token"; readonly token: string }
  | { readonly kind: "password"; readonly username: string; readonly password: string }

/** The texts that nobody may read in a log. */
export const secretsOf = (credentials: Credentials | undefined): readonly string[] => {
  if (credentials === undefined) return []
  if (credentials.kind === "token") return [credentials.token, `__token__:${credentials.token}`]
  const { username, password } = credentials
  return [password, `${username}:${password}`]
}

/** One line of characters that a header can carry; no longer than a Secret would sensibly be. */
const usable = /^[\x20-\x7E\u0080-\uFFFF]{1,8192}$/

/** Stands for a file that cannot be read; no line of text, so it is never taken for a value. */
const unreadable = "\n\n"

/** A file's text without the line end that editors add; undefined if there is no file. */
const read = (folder: string, name: string): string | undefined => {
  try {
    const text = readFileSync(join(folder, name), "utf8")
    return text.endsWith("\n") ? text.slice(0, text.endsWith("\r\n") ? -2 : -1) : text
  } catch (error) {
    return ["ENOENT", "ENOTDIR"].includes(systemCode(error)) ? undefined : unreadable
  }
}

/**
 * The credentials in the files of a folder: `token`, or `username` and `password`. Undefined if it has none: the Secret
 * is optional.
 */
export const readCredentials = (folder: string | undefined): Credentials | Failure | undefined => {
  if (folder === undefined) return undefined
  const [token, username, password] = ["token", "username", "password"].map((name) => read(folder, name))
  for (const [name, value] of Object.entries({ token, username, password }))
    if (value !== undefined && !usable.test(value))
      return failure(
        `The registry's Secret is not usable: '${name}' must be a file that can be read, with one line of text.`,
      )
  if (token !== undefined) return { kind: "token", token }
  if (username !== undefined && password !== undefined) return { kind: "password", username, password }
  if (username === undefined && password === undefined) return undefined
  return failure("The registry's Secret is not complete: it needs 'token', or 'username' and 'password'.")
}

/** A value of .npmrc: in quotes, where it is read as JSON; `\${` keeps npm from looking for a variable. */
const quoted = (value: string): string => JSON.stringify(value.replaceAll("${", "\\${"))

/** The text of npm's user configuration with these credentials; empty without. `registry`: a URL. */
export const npmConfiguration = (registry: string | undefined, credentials: Credentials | undefined): string => {
  if (registry === undefined || credentials === undefined) return ""
  const { host, pathname } = new URL(registry)
  const place = `//${host}${pathname.endsWith("/") ? pathname : `${pathname}/`}`
  if (credentials.kind === "token") return `${place}:_authToken=${quoted(credentials.token)}\n`
  const password = Buffer.from(credentials.password).toString("base64")
  return `${place}:username=${quoted(credentials.username)}\n${place}:_password=${quoted(password)}\n`
}

/** uv's name for the index, by which it finds the variables with its credentials. */
export const indexName = "reflow"

/** The variables with which uv gets these credentials. */
export const uvCredentials = (credentials: Credentials | undefined): Readonly<Record<string, string>> => {
  if (credentials === undefined) return {}
  const { username, password } =
    credentials.kind === "token" ? { username: "__token__", password: credentials.token } : credentials
  return { UV_INDEX_REFLOW_USERNAME: username, UV_INDEX_REFLOW_PASSWORD: password }
}
