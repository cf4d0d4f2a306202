/**
 * Preloaded into the conformance runner, which knows no tokens: its requests to CONFORMANCE_ORIGIN, and no others, carry
 * CONFORMANCE_TOKEN. It sends with fetch, with undici and with node:http.
 */
import { subscribe } from "node:diagnostics_channel"
import type { ClientRequest } from "node:http"

const { CONFORMANCE_ORIGIN = "", CONFORMANCE_TOKEN = "" } = process.env
const { origin, hostname, host } = new URL(CONFORMANCE_ORIGIN)
const authorization = `Bearer ${CONFORMANCE_TOKEN}`

type UndiciRequest = { readonly origin: string | URL; addHeader(name: string, value: string): void }

// Node's own undici, which fetch is made of, and the package's publish on the same channel
subscribe("undici:request:create", (message) => {
  const { request } = message as { readonly request: UndiciRequest }
  if (new URL(request.origin).origin === origin) request.addHeader("authorization", authorization)
})

subscribe("http.client.request.created", (message) => {
  const { request } = message as { readonly request: ClientRequest }
  if (request.host === hostname && request.getHeader("host") === host) request.setHeader("authorization", authorization)
})
