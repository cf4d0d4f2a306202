/** `reflow target from FILE`: prints the MCPTarget that a server.json of the MCP registry makes. Fetches nothing. */
import { createReadStream } from "node:fs"
import { stringify } from "yaml"
import { targetOfDocument } from "../../admin/target-document.ts"
import type { FieldProblem } from "../../admin/validation.ts"
import { isFields } from "../../api/patch.ts"
import type { Preference } from "../../api/server-json/convert.ts"
import { targetNameOf } from "../../api/server-json/name.ts"
import { readProblem } from "../../config/file.ts"
import { AppError, hasCode } from "../../errors.ts"
import { findJsonFault } from "../../intake/json-text.ts"

/** What the command line says. */
export type TargetRequest = {
  /** Path of the document; `-` = stdin. */
  readonly path: string
  readonly name: string | undefined
  readonly prefer: Preference | undefined
  readonly arguments: ReadonlyMap<string, readonly string[]>
  readonly command: readonly string[]
}

type Around = {
  readonly stdin: AsyncIterable<string | Buffer>
  /** The time, in milliseconds since the Unix epoch. */
  readonly now: number
}

/** Largest document, in bytes. */
const mostBytes = 2 ** 20
/** Deepest nesting of arrays and objects. */
const maxDepth = 64

const refuse = (detail: string): AppError => new AppError("UsageInvalid", { detail })

/** Reads at most {@link mostBytes} and one byte: a larger document is refused before anything of it is parsed. */
const readBytes = async (path: string, stdin: Around["stdin"]): Promise<Buffer> => {
  const pieces: Buffer[] = []
  let bytes = 0
  try {
    for await (const piece of path === "-" ? stdin : createReadStream(path, { end: mostBytes })) {
      const buffer = typeof piece === "string" ? Buffer.from(piece) : (piece as Buffer)
      pieces.push(buffer)
      bytes += buffer.byteLength
      if (bytes > mostBytes) break
    }
  } catch (error) {
    throw refuse(`${path}: ${readProblem(error)}`)
  }
  if (bytes > mostBytes) throw refuse(`${path}: is larger than 1 MiB`)
  return Buffer.concat(pieces)
}

const parse = (path: string, bytes: Buffer): unknown => {
  let text: string
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes)
  } catch {
    throw refuse(`${path}: is not UTF-8`)
  }
  const fault = findJsonFault(text, { maxDepth, strict: true })
  if (fault !== undefined) throw refuse(`${path}: ${fault.message}`)
  return JSON.parse(text)
}

const unescaped = (part: string): string => part.replaceAll("~1", "/").replaceAll("~0", "~")

/** A problem as a line: the place in the document, or the flag that is to change. */
const toLine = ({ pointer, detail }: FieldProblem): string => {
  const [, first = "", ...rest] = pointer.split("/")
  if (first === "server_json") return `/${rest.join("/")}: ${detail}`
  if (first === "arguments") return `--argument ${unescaped(rest.join("/"))}=VALUE: ${detail}`
  return `--${first}: ${detail}`
}

const nameOf = (document: unknown): string | undefined =>
  isFields(document) && typeof document.name === "string" ? targetNameOf(document.name) : undefined

/** Key order and quotes of every text: whatever the document says, each YAML parser reads it as text. */
const yamlOptions = { defaultStringType: "QUOTE_DOUBLE", defaultKeyType: "PLAIN", lineWidth: 0 } as const

/**
 * The MCPTarget of a document as YAML, and lines of what its author should know. Throws `UsageInvalid` with a line for
 * each problem: its JSON Pointer in the document, or the flag.
 */
export const targetFrom = async (
  request: TargetRequest,
  { stdin, now }: Around,
): Promise<{ readonly yaml: string; readonly warnings: readonly string[] }> => {
  const { path, prefer, command } = request
  const document = parse(path, await readBytes(path, stdin))
  const name = request.name ?? nameOf(document)
  const body = {
    server_json: document,
    ...(name === undefined ? {} : { name }),
    ...(prefer === undefined ? {} : { prefer }),
    ...(command.length === 0 ? {} : { command }),
    arguments: Object.fromEntries([...request.arguments].map(([key, texts]) => [key, texts])),
  }
  try {
    const { target, warnings } = targetOfDocument(body, { namespace: "", now })
    const { namespace: _, ...metadata } = target.metadata
    return { yaml: stringify({ ...target, metadata }, yamlOptions), warnings: warnings.map(toLine) }
  } catch (error) {
    if (!(error instanceof AppError) || !hasCode(error, "ValidationFailed")) throw error
    const problems = (error.data?.errors as readonly FieldProblem[] | undefined) ?? []
    throw refuse([`${path}: no target can be made of it`, ...problems.map((each) => `  ${toLine(each)}`)].join("\n"))
  }
}
