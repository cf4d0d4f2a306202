import type { RequestListener } from "node:http"
import type { TelemetryPort } from "../../ports/telemetry.ts"
import type { Base } from "../role.ts"
import { startHttpListener } from "./http-listener.ts"

/** Dependencies of {@link healthHandler}. */
type HealthDeps = {
  readonly telemetry: TelemetryPort
  /** Result of `/readyz`: true while requests should be sent here. */
  readonly isReady: () => boolean
  /** Result of `/healthz`: false if only a restart of the process can help. Default: always true. */
  readonly isAlive?: () => boolean
}

/** Handles /metrics, /healthz and /readyz: 200, or 503 if unhealthy or not ready. Not for the public port. */
export const healthHandler =
  ({ telemetry, isReady, isAlive = () => true }: HealthDeps): RequestListener =>
  (request, response) => {
    const answer = (status: number, text: string, type = "text/plain; charset=utf-8"): void => {
      response.writeHead(status, { "content-type": type, "cache-control": "no-store" })
      response.end(request.method === "HEAD" ? undefined : text)
    }
    if (request.method !== "GET" && request.method !== "HEAD") return answer(405, "GET only\n")
    const path = request.url?.split("?", 1)[0]
    if (path === "/healthz") return isAlive() ? answer(200, "ok\n") : answer(503, "stuck\n")
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

/**
 * Serves {@link healthHandler} at metrics.listen, if it is configured. Call it before anything else is started: it is
 * then closed last, and serves during the whole start and shutdown.
 */
export const startHealth = async (
  { config, telemetry, started }: Base,
  state: Omit<HealthDeps, "telemetry">,
): Promise<void> => {
  const { listen } = config.metrics
  if (listen === undefined) return
  const health = await startHttpListener(listen, healthHandler({ telemetry, ...state }))
  await started.add("health", health.close)
  telemetry.log.info("metrics", { url: `${health.url}/metrics` })
}
