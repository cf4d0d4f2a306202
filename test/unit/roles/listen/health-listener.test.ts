import { afterEach, expect, test } from "vitest"
import { healthHandler } from "../../../../src/roles/listen/health-listener.ts"
import { type HttpListener, startHttpListener } from "../../../../src/roles/listen/http-listener.ts"
import { quietTelemetry } from "../../../support/quiet-telemetry.ts"

let listener: HttpListener | undefined
afterEach(() => listener?.close())

const state = { ready: false, alive: true }
const ask = async (path: string, method = "GET") => {
  const response = await fetch(`${listener?.url}${path}`, { method })
  return `${response.status} ${(await response.text()).trim()}`
}

test("probes tell readiness and life apart", async () => {
  const telemetry = { ...quietTelemetry(), metrics: async () => "reflow_instances 1\n" }
  const handler = healthHandler({ telemetry, isReady: () => state.ready, isAlive: () => state.alive })
  listener = await startHttpListener("127.0.0.1:0", handler)
  expect([await ask("/healthz"), await ask("/readyz")]).toEqual(["200 ok", "503 not ready"])
  Object.assign(state, { ready: true, alive: false })
  expect([await ask("/healthz?verbose"), await ask("/readyz")]).toEqual(["503 stuck", "200 ok"])
  expect(await ask("/metrics")).toBe("200 reflow_instances 1")
  expect([await ask("/readyz", "POST"), await ask("/")]).toEqual([
    "405 GET only",
    "404 see /metrics, /healthz and /readyz",
  ])
})
