import type { RequestListener } from "node:http"
import type { TelemetryPort } from "../ports/telemetry.ts"

/** What `/readyz` asks. */
export type HealthDeps = {
  readonly telemetry: TelemetryPort
  /** True while requests should be sent here. */
  readonly isReady: () => boolean
}

/** Serves /metrics, /healthz and /readyz, apart from the public port. */
export const healthHandler =
  ({ telemetry, isReady }: HealthDeps): RequestListener =>
  (request, response) => {
    const answer = (status: number, text: string, type = "text/plain; charset=utf-8"): void => {
      response.writeHead(status, { "content-type": type, "cache-control": "no-store" })
      response.end(request.method === "HEAD" ? undefined : text)
    }
    if (request.method !== "GET" && request.method !== "HEAD") return answer(405, "GET only\n")
    const path = request.url?.split("?", 1)[0]
    if (path === "/healthz") return answer(200, "ok\n")
    if (path === "/readyz") return isReady() ? answer(200, "ok\n") : answer(503, "not ready\n")
    if (path !== "/metrics") return answer(404, "see /metrics, /healthz and /readyz\n")
    telemetry.metrics().then(
      (text) => answer(200, text, "text/plain; version=0.0.4; charset=utf-8"),
      (error: unknown) => {
        telemetry.log.error("the metrics could not be read", { error })
        answer(500, "the metrics could not be read\n")
      },
    )
  }
