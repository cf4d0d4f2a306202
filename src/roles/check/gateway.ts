import { get } from "node:http"
import { get as getSecurely } from "node:https"
import type { ClockPort } from "../../ports/clock.ts"
import type { Finding } from "./finding.ts"

/** Options of {@link checkGateway}. */
export type GatewayCheck = {
  /** Where to connect to, e.g. `http://reflow-gateway.reflow-system`. */
  readonly url: string
  /** gateway.public_url, whose host is sent as the Host header; empty = the host of `url`. */
  readonly publicUrl: string
  readonly clock: ClockPort
  readonly signal: AbortSignal
}

/** Timeout of one request, in milliseconds. */
const answerMs = 5_000
/** How long requests are repeated, in milliseconds: a new Service takes some seconds to be routed on every node. */
const patienceMs = 15_000
/** Pause between two requests, in milliseconds. */
const pauseMs = 500

/**
 * Undefined for the response that a gateway gives to a request without a token; else what is wrong with the response.
 */
const judge = (status: number | undefined, challenge: unknown): string | undefined => {
  if (status === 401 && String(challenge).includes('realm="reflow"')) return undefined
  return `answered ${status}; a gateway answers 401 with realm="reflow" to a request without a token`
}

/** Sends one request without a token, on a new connection; resolves with what is wrong, undefined if nothing. */
const ask = ({ url, publicUrl, signal }: GatewayCheck): Promise<string | undefined> =>
  new Promise((resolve) => {
    const target = new URL("/api/whoami", url)
    const headers = publicUrl === "" ? {} : { host: new URL(publicUrl).host }
    const limit = AbortSignal.any([signal, AbortSignal.timeout(answerMs)])
    const options = { headers, agent: false, signal: limit } as const
    const asked = (target.protocol === "https:" ? getSecurely : get)(target, options, (response) => {
      resolve(judge(response.statusCode, response.headers["www-authenticate"]))
      response.destroy()
    })
    asked.on("error", (error) =>
      resolve(limit.aborted ? `no answer within ${answerMs / 1000} s` : `cannot be reached: ${error.message}`),
    )
  })

/** Checks that a gateway answers at a URL, with a request without a token. Repeats it for up to {@link patienceMs}. */
export const checkGateway = async (check: GatewayCheck): Promise<Finding> => {
  const { clock, signal, url } = check
  const what = `gateway at ${url}`
  const until = clock.now() + patienceMs
  for (;;) {
    const problem = await ask(check)
    if (problem === undefined) return { what, ok: true, detail: "answers, and asks for a token" }
    if (signal.aborted || clock.now() + pauseMs >= until) {
      const help = "check the Pods and the Service of the gateway, gateway.allowed_hosts, and the NetworkPolicies"
      return { what, ok: false, detail: problem, help }
    }
    await clock.sleep(pauseMs, signal).catch(() => {})
  }
}
