import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http"
import type { AddressInfo, Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { text } from "node:stream/consumers"

/** A request that the server got. */
export type SeenRequest = {
  readonly method: string
  readonly url: URL
  readonly headers: IncomingHttpHeaders
  readonly body: string
  /** Number of the connection it came on, from 0. */
  readonly connection: number
}

/** What the server does with a request. */
export type Script = (request: SeenRequest, response: ServerResponse) => void

/** An HTTP server in the place of an API server, for faults that a real one does not show on demand. */
export type ScriptedApi = {
  /** A kubeconfig that leads to it, with a token. */
  readonly kubeconfig: string
  /** Every request, oldest first. */
  readonly requests: SeenRequest[]
  /** How many connections were opened, and are open. */
  readonly connections: { readonly opened: number; readonly open: number }
  /** Takes the coming requests, one each; the last one stays. */
  play(...scripts: readonly Script[]): void
  /** Resolves when so many requests have come. */
  heard(count: number): Promise<void>
  /** Writes another token into the kubeconfig. */
  setToken(token: string): Promise<void>
  close(): Promise<void>
}

/** Answers with a status and a JSON body. */
export const answer =
  (status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): Script =>
  (_, response) => {
    response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body))
  }

/** Answers as an API server that refuses (Kubernetes Status). */
export const refuse = (code: number, reason: string, headers: Readonly<Record<string, string>> = {}): Script =>
  answer(
    code,
    { kind: "Status", apiVersion: "v1", status: "Failure", code, reason, message: `says ${reason}` },
    headers,
  )

/** Resets the connection instead of an answer. */
export const reset: Script = (_, response) => {
  ;(response.socket as Socket).resetAndDestroy()
}

/** Never answers. */
export const silence: Script = () => {}

const kubeconfigOf = (server: string, token: string): string =>
  JSON.stringify({
    clusters: [{ name: "c", cluster: { server, "insecure-skip-tls-verify": true } }],
    users: [{ name: "u", user: { token } }],
    contexts: [{ name: "c", context: { cluster: "c", user: "u", namespace: "home" } }],
    "current-context": "c",
  })

const listen = async (server: ReturnType<typeof createServer>): Promise<string> => {
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve)
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Starts the server. Close it. */
export const scriptedApi = async (): Promise<ScriptedApi> => {
  const folder = await mkdtemp(join(tmpdir(), "reflow-api-"))
  const kubeconfig = join(folder, "kubeconfig")
  const requests: SeenRequest[] = []
  const sockets: Socket[] = []
  let scripts: readonly Script[] = [silence]
  let wake = (): void => {}
  const server = createServer(async (incoming, response) => {
    const { method = "", headers } = incoming
    const connection = sockets.indexOf(incoming.socket)
    const url = new URL(incoming.url ?? "/", "http://api")
    const seen = { method, url, headers, body: await text(incoming), connection }
    const script = scripts[0] ?? silence
    if (scripts.length > 1) scripts = scripts.slice(1)
    requests.push(seen)
    wake()
    script(seen, response)
  })
  server.on("connection", (socket) => sockets.push(socket))
  const origin = await listen(server)
  const setToken = (token: string) => writeFile(kubeconfig, kubeconfigOf(origin, token))
  await setToken("first")
  return {
    kubeconfig,
    requests,
    connections: {
      get opened() {
        return sockets.length
      },
      get open() {
        return sockets.filter(({ destroyed }) => !destroyed).length
      },
    },
    play: (...next) => {
      scripts = next
    },
    heard: async (count) => {
      while (requests.length < count)
        await new Promise<void>((resolve) => {
          wake = resolve
        })
    },
    setToken,
    close: async () => {
      server.closeAllConnections()
      server.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
