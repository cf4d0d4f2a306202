import type { RequestListener } from "node:http"
import type { TelemetryPort } from "../../ports/telemetry.ts"
import type { Base } from "../role.ts"
import { startHttpListener } from "./http-listener.ts"

/** What `/readyz` asks. */
type HealthDeps = {
  readonly telemetry: TelemetryPort
  /** True while requests should be sent here. */
  readonly isReady: () => boolean
  /** Asked by `/healthz`: false if only a new process can help. Default: always true, since this one answers. */
  readonly isAlive?: () => boolean
}

/** Serves /metrics, /healthz and /readyz, apart from the public port. */
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
 * Serves {@link healthHandler} at metrics.listen, if it is configured. Start it first: it is closed last then, and tells
 * of the whole start and end.
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
