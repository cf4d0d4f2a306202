import { podKind, serverContainer } from "../../api/kinds/pod.ts"
import { AppError, isAppError } from "../../errors.ts"
import type { LogStreamQuery, ObjectRef } from "../../ports/cluster.ts"
import type { Call } from "./exchange.ts"
import { objectPath, type Transport } from "./transport.ts"

/** The call that reads the log of an MCP server's container. */
export const logCall = (ref: ObjectRef, query: LogStreamQuery, signal: AbortSignal | undefined): Call => ({
  method: "GET",
  path: objectPath(podKind, ref, { container: serverContainer, ...query }, "log"),
  what: `logs ${ref.namespace}/${ref.name}`,
  isSecret: true,
  signal,
})

/**
 * The log of an MCP server's container as a stream; ends after the output so far or, if followed, with the container.
 */
export async function* streamLog(
  transport: Transport,
  ref: ObjectRef,
  query: LogStreamQuery,
  signal: AbortSignal | undefined,
): AsyncGenerator<string> {
  const call = logCall(ref, query, signal)
  const body = await transport.stream(call)
  const decoder = new TextDecoder()
  try {
    for await (const chunk of body) {
      const text = decoder.decode(chunk, { stream: true })
      if (text !== "") yield text
    }
  } catch (error) {
    signal?.throwIfAborted()
    if (isAppError(error)) throw error
    throw new AppError("ClusterUnavailable", { detail: `${call.what}: the stream broke off.`, cause: error })
  } finally {
    body.destroy()
  }
  const rest = decoder.decode()
  if (rest !== "") yield rest
}
