import { get } from "node:http"
import { get as getSecurely } from "node:https"
import type { ClockPort } from "../../ports/clock.ts"
import type { Finding } from "./finding.ts"

/** Which gateway is asked, and how. */
export type GatewayCheck = {
  /** Where to connect to, e.g. `http://reflow-gateway.reflow-system`. */
  readonly url: string
  /** The origin under which clients reach it (gateway.public_url), whose host is asked for; empty = that of `url`. */
  readonly publicUrl: string
  readonly clock: ClockPort
  readonly signal: AbortSignal
}

/** How long one answer may take. */
const answerMs = 5_000
/** How long it is tried: a Service that was just made is not routed everywhere yet. */
const patienceMs = 15_000
const pauseMs = 500

/** Undefined if the answer is a gateway's to somebody without a token; else what came instead. */
const judge = (status: number | undefined, challenge: unknown): string | undefined => {
  if (status === 401 && String(challenge).includes('realm="reflow"')) return undefined
  return `answered ${status}, which no gateway answers to somebody without a token`
}

/** Asks once, on a connection of its own; resolves with what is wrong. The certificate is the ingress' business. */
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

/** Whether a gateway answers at an address, as a client without a token meets it. Tries for a quarter of a minute. */
export const checkGateway = async (check: GatewayCheck): Promise<Finding> => {
  const { clock, signal, url } = check
  const what = `gateway at ${url}`
  const until = clock.now() + patienceMs
  for (;;) {
    const problem = await ask(check)
    if (problem === undefined) return { what, ok: true, detail: "answers, and asks for a token" }
    if (signal.aborted || clock.now() + pauseMs >= until) {
      const help = "look at the Pods and the Service of the gateway, at gateway.allowed_hosts, and at NetworkPolicies"
      return { what, ok: false, detail: problem, help }
    }
    await clock.sleep(pauseMs, signal).catch(() => {})
  }
}
