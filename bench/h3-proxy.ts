/**
 * A proxy of one call of h3's proxyRequest, for comparison with the gateway.
 *
 *   node bench/h3-proxy.ts --port 9000 --to http://127.0.0.1:8080
 */
import { parseArgs } from "node:util"
import { H3, proxyRequest, serve } from "h3"

const { values } = parseArgs({ options: { port: { type: "string" }, to: { type: "string" } } })
const app = new H3().all("/mcp", (event) => proxyRequest(event, `${values.to}/mcp`))
serve(app, { port: Number(values.port), hostname: "127.0.0.1", silent: true })
