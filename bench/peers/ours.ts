/** Our own entrants: the bare pipe, and the gateway. */
import { readFileSync } from "node:fs"
import { freePort } from "../ports.ts"
import { startProcess } from "../process.ts"
import { startReflow } from "../reflow.ts"
import type { Entrant } from "./entrant.ts"
import { openSession } from "./session.ts"
import type { Row } from "./table.ts"

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"))

/** Name of our gateway in the table. */
export const reflowName = "reflow"
const pipeName = "bare pipe"

/** What the table says of them. */
export const describeOurs: readonly Pick<Row, "name" | "version" | "licence" | "does">[] = [
  {
    name: pipeName,
    version: "",
    licence: "Apache-2.0",
    does: "forwards the body unread, without sessions (Node and undici)",
  },
  {
    name: reflowName,
    version,
    licence: "Apache-2.0",
    does: "checks a token, access and a tool policy; encrypted sessions; each user's own server; log line and metrics",
  },
]

const startPipe = async (upstream: string, stack: AsyncDisposableStack, signal: AbortSignal): Promise<Entrant> => {
  const port = await freePort()
  const pipe = await startProcess({
    command: process.execPath,
    args: [new URL("../pipe.ts", import.meta.url).pathname, "--port", String(port), "--to", new URL(upstream).origin],
    ready: { port },
  })
  stack.defer(() => pipe.stop())
  const url = `http://127.0.0.1:${port}/mcp`
  return { name: pipeName, url, call: await openSession({ url, headers: {}, signal }), process: pipe, stop: pipe.stop }
}

const startGateway = async (stack: AsyncDisposableStack, signal: AbortSignal): Promise<Entrant> => {
  const { narrow, process: gateway, stop } = await startReflow()
  stack.defer(stop)
  const headers = { authorization: `Bearer ${narrow.token}` }
  const call = await openSession({ url: narrow.url, headers, signal })
  return { name: reflowName, url: narrow.url, call, process: gateway, stop }
}

/**
 * Starts the pipe in front of a server, and the gateway, which starts the same server itself, for its user alone. The
 * stack ends them.
 */
export const startOurs = async (
  upstream: string,
  stack: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<readonly Entrant[]> => [await startPipe(upstream, stack, signal), await startGateway(stack, signal)]
