/** A load of small requests: each connection sends the next one as soon as its response is complete. */
import { Pool } from "undici"
import type { Child } from "./gateway-child.ts"

/** Which requests to send, and where. */
export type Load = {
  readonly child: Child
  readonly body: object
  readonly headers: Readonly<Record<string, string>>
}

/** Result of one run of a load. */
export type Run = {
  /** CPU time of the child per request, in microseconds. */
  readonly cpu: number
  /** Median time until the response is complete, in milliseconds. */
  readonly p50: number
  /** 99th percentile of the same. */
  readonly p99: number
}

const quantile = (sorted: Float64Array, share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? 0

/** Sends `requests` over `connections` connections, one at a time on each. Throws on a response other than 200. */
export const run = async ({ child, body, headers }: Load, requests: number, connections: number): Promise<Run> => {
  const pool = new Pool(child.url, { connections })
  const text = JSON.stringify(body)
  const all = {
    ...headers,
    "content-type": "application/json",
    accept: "application/json, text/event-stream",
    authorization: `Bearer ${child.token}`,
  }
  const took = new Float64Array(requests)
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < requests) {
      const index = next++
      const since = performance.now()
      const answer = await pool.request({ path: child.path, method: "POST", headers: all, body: text })
      await answer.body.dump()
      took[index] = performance.now() - since
      if (answer.statusCode !== 200) throw new Error(`a request was answered with ${answer.statusCode}`)
    }
  }
  const before = await child.cpu()
  await Promise.all(Array.from({ length: connections }, worker))
  const after = await child.cpu()
  await pool.close()
  took.sort()
  return { cpu: (after - before) / requests, p50: quantile(took, 0.5), p99: quantile(took, 0.99) }
}
