import type { IncomingHttpHeaders } from "node:http"
import { AppError } from "../errors.ts"
import { isRecord, type Params } from "../mcp/message.ts"
import { decodeMirrored } from "../mcp/mirrored-headers.ts"

/** An argument of a tool that a header repeats. */
type Mirror = { readonly header: string; readonly path: readonly string[]; readonly isNumber: boolean }

/** Asks the server for a page of its tools; undefined if it has none, or does not answer in time. */
export type AskTools = (params: Params) => Promise<Params | undefined>

/** The key of a property's schema that names the header (MCP 2026-07-28, custom headers). */
const headerKey = "x-mcp-header"
const tokenPattern = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const decimalPattern = /^-?\d+(?:\.\d+)?$/
const types: ReadonlySet<unknown> = new Set(["string", "boolean", "integer", "number"])

/** Most levels of properties, and most pages of tools, that are looked at. */
const mostLevels = 32
const mostPages = 100

/** Most arguments that are remembered: a server's tools may have other names every time. */
const mostMirrors = 10_000

/** The arguments below a schema whose properties name a header. */
const mirrorsIn = function* (schema: unknown, path: readonly string[] = []): Generator<Mirror> {
  if (!isRecord(schema) || path.length > mostLevels) return
  const { [headerKey]: name, type, properties } = schema
  if (typeof name === "string" && tokenPattern.test(name) && types.has(type))
    yield { header: `mcp-param-${name.toLowerCase()}`, path, isNumber: type === "integer" || type === "number" }
  if (!isRecord(properties)) return
  for (const [key, each] of Object.entries(properties)) yield* mirrorsIn(each, [...path, key])
}

const valueAt = (value: unknown, [key, ...rest]: readonly string[]): unknown => {
  if (key === undefined) return value
  return isRecord(value) && Object.hasOwn(value, key) ? valueAt(value[key], rest) : undefined
}

/** An argument as the text of a header; undefined if no header can repeat it. */
const textOf = (value: unknown): string | undefined => {
  if (typeof value === "string") return value
  const isPlain =
    typeof value === "boolean" || (typeof value === "number" && Math.abs(value) <= Number.MAX_SAFE_INTEGER)
  return isPlain ? String(value) : undefined
}

/** Throws HeaderMismatch if the header does not repeat the argument. */
const compare = ({ header, path, isNumber }: Mirror, value: unknown, given: string | undefined): void => {
  const text = textOf(value)
  if (text === undefined) return
  const said = given === undefined ? undefined : decodeMirrored(given)
  if (said === text || (isNumber && said !== undefined && decimalPattern.test(said) && Number(said) === value)) return
  const fault =
    given === undefined ? "is missing" : said === undefined ? "is not valid base64" : "differs from the body"
  throw new AppError("HeaderMismatch", { detail: `The header ${header}, which repeats ${path.join(".")}, ${fault}.` })
}

/**
 * Compares headers with the arguments that they repeat. Only a server's list of tools says which these are, and a
 * server behind stdin sees no headers, so the bridge does it for the server.
 */
export class ArgumentHeaders {
  readonly #ask: AskTools
  readonly #limitMs: number
  readonly #tools = new Map<string, readonly Mirror[]>()
  /** How many arguments the tools have together. */
  #mirrors = 0
  #asked: Promise<void> | undefined

  /** `limitMs`: how long all pages of tools may take together, milliseconds: calls of tools wait for them. */
  constructor(ask: AskTools, limitMs: number) {
    this.#ask = ask
    this.#limitMs = limitMs
  }

  /** Resolves when the tools are known, or the server does not tell them: then nothing can be compared. */
  known(): Promise<void> {
    this.#asked ??= this.#readAll()
    return this.#asked
  }

  /** Remembers a page of tools, from a result of `tools/list`; if they get too many, forgets those before. */
  learn({ tools }: Params): void {
    if (!Array.isArray(tools)) return
    for (const tool of tools) {
      if (!isRecord(tool) || typeof tool.name !== "string") continue
      const mirrors = mirrorsIn(tool.inputSchema).take(mostMirrors).toArray()
      this.#mirrors += mirrors.length - (this.#tools.get(tool.name)?.length ?? 0)
      if (this.#mirrors > mostMirrors) {
        this.#tools.clear()
        this.#mirrors = mirrors.length
      }
      if (mirrors.length === 0) this.#tools.delete(tool.name)
      else this.#tools.set(tool.name, mirrors)
    }
  }

  /** The same from a response, which is parsed only if it can have something to remember. */
  learnFrom(response: string): void {
    if (this.#tools.size === 0 && !response.includes(headerKey)) return
    const { result }: Params = JSON.parse(response)
    if (isRecord(result)) this.learn(result)
  }

  /** Throws HeaderMismatch for a call of a tool whose headers do not repeat its arguments. */
  check({ name, arguments: values }: Params, headers: IncomingHttpHeaders): void {
    const mirrors = typeof name === "string" ? this.#tools.get(name) : undefined
    for (const mirror of mirrors ?? []) {
      const given = headers[mirror.header]
      compare(mirror, valueAt(values, mirror.path), Array.isArray(given) ? given.join(", ") : given)
    }
  }

  async #readAll(): Promise<void> {
    let params: Params = {}
    const end = performance.now() + this.#limitMs
    for (let page = 0; page < mostPages && performance.now() < end; page++) {
      const result = await this.#ask(params)
      if (result === undefined) return
      this.learn(result)
      if (typeof result.nextCursor !== "string") return
      params = { cursor: result.nextCursor }
    }
  }
}
