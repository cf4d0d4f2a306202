import { connect, type Socket } from "node:net"
import { systemCode } from "../errors.ts"
import { type Failure, failure } from "./order.ts"

/** How long a registry may take to accept a connection, milliseconds. */
const connectMs = 5_000
/** How often a refused connection is tried, and how long between two, milliseconds. */
const tries = 3
const pauseMs = 300

/** Resolves with a code of the operating system; empty if the connection was accepted. */
const dial = (host: string, port: number, signal: AbortSignal): Promise<string> =>
  new Promise((resolve) => {
    const socket: Socket = connect({ host, port, signal })
    const end = (code: string): void => {
      socket.destroy()
      resolve(code)
    }
    socket.setTimeout(connectMs, () => end("ETIMEDOUT"))
    socket.once("connect", () => end(""))
    socket.once("error", (error) => end(systemCode(error) || "refused"))
  })

const problemOf = (place: string, code: string): string => {
  if (code === "ENOTFOUND" || code === "EAI_AGAIN")
    return `The registry cannot be reached: there is no host ${place} in the DNS here. Correct the registry's URL.`
  if (code === "ETIMEDOUT")
    return `The registry cannot be reached: ${place} does not answer within ${connectMs / 1_000} s. Correct its URL, or allow connections to it (NetworkPolicies, firewalls).`
  return `The registry cannot be reached: ${place} accepts no connection (${code}). Correct its URL, or start it.`
}

/**
 * Says within seconds if nobody answers at a registry's address. npm waits for a minute or more where a NetworkPolicy
 * drops what is sent, and then says only that the network was idle.
 */
export const checkReachable = async (registry: string, signal: AbortSignal): Promise<Failure | undefined> => {
  const { protocol, hostname, port, host } = new URL(registry)
  const number = port === "" ? (protocol === "https:" ? 443 : 80) : Number(port)
  for (let tried = 1; ; tried++) {
    const code = await dial(hostname, number, signal)
    if (code === "" || signal.aborted) return undefined
    if (tried === tries || code === "ETIMEDOUT") return failure(problemOf(host, code))
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
}
