import { wholeMessage } from "../api/problem.ts"
import { type AppError, errorTable } from "../errors.ts"
import { isRecord } from "../mcp/message.ts"
import { type Envelope, sourceOf } from "./envelope.ts"

/** An error as a JSON-RPC response; `idText` is the JSON source of the request's id. */
export const errorText = (error: AppError, idText: string | undefined): string => {
  const data = { code: error.code, ...error.data }
  const body = JSON.stringify({ code: errorTable[error.code].rpc, message: wholeMessage(error), data })
  return `{"jsonrpc":"2.0","id":${idText ?? "null"},"error":${body}}`
}

/** A JSON-RPC error of the protocol itself, e.g. -32601. */
export const refusalText = (idText: string, code: number, message: string, data?: object): string =>
  `{"jsonrpc":"2.0","id":${idText},"error":${JSON.stringify({ code, message, ...(data === undefined ? {} : { data }) })}}`

/** A JSON-RPC result. */
export const resultText = (idText: string, result: object): string =>
  `{"jsonrpc":"2.0","id":${idText},"result":${JSON.stringify(result)}}`

/** Codes of errors that have an HTTP status of their own (MCP 2026-07-28, Streamable HTTP). */
const statuses: Readonly<Record<number, number>> = { [-32601]: 404, [-32020]: 400, [-32021]: 400, [-32022]: 400 }

/** The HTTP status of a response in the modern era. */
export const modernStatus = (text: string, { error }: Envelope): number => {
  if (error === undefined) return 200
  const value: unknown = JSON.parse(sourceOf(text, error))
  return isRecord(value) && typeof value.code === "number" ? (statuses[value.code] ?? 200) : 200
}
