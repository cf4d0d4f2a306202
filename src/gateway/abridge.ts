import type { Message, Params } from "./message.ts"
import { boundInitialize } from "./session.ts"

const essential = (method: string, params: Params): Params => {
  if (method === "initialize") return boundInitialize(params) ?? {}
  return typeof params.name === "string" ? { name: params.name } : {}
}

/**
 * What is still asked of a message once it is permitted: method and name for the log, and what opens a session again.
 * The rest of its parameters is in the body anyway, and takes up to fifteen times as much memory here: a request that
 * waits, or a call that runs for hours, must not hold it.
 */
export const abridge = (message: Message): Message =>
  message.kind === "response" ? message : { ...message, params: essential(message.method, message.params) }
