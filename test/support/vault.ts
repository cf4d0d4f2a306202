/**
 * A server that answers what plugins/vault.ts asks of Vault as its HTTP API is documented: the Kubernetes login, tokens
 * with a lease and paths that they may read, and the KV engine of version 2 with its versions and their ends.
 */
import { randomUUID } from "node:crypto"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { text } from "node:stream/consumers"

/** A request, as the server got it. */
export type VaultRequest = {
  readonly method: string
  readonly url: string
  readonly token: string
  readonly body: string
}

/** Who may log in by Kubernetes, and what they get. */
export type VaultRole = {
  /** ServiceAccounts, as `namespace:name`. */
  readonly accounts: readonly string[]
  /** Lease of a login's token, in seconds. */
  readonly ttlSeconds: number
  /** Paths below the mount that the token may read, each with all that is below it. */
  readonly reads: readonly string[]
}

/** A running server. */
export type Vault = {
  /** Its URL, `http://127.0.0.1:40123`. */
  readonly address: string
  readonly requests: VaultRequest[]
  /** Writes a new version, which Vault deletes by itself at the given moment; default never. */
  write(path: string, data: Readonly<Record<string, unknown>>, deletionTime?: number): void
  role(name: string, role: VaultRole): void
  /** A token that was made by hand, e.g. for a file. */
  token(reads: readonly string[], ttlSeconds?: number): string
  revoke(token: string): void
  close(): Promise<void>
}

/** How it is started. */
export type VaultOptions = {
  /** Whose token it is, as `namespace:name`: what Vault asks of TokenReview; undefined = nobody's. */
  readonly review: (jwt: string) => Promise<string | undefined>
  /** Mount of the KV engine; default secret. */
  readonly mount?: string
}

type Version = { readonly data: object; readonly created: number; readonly deletionTime: number | undefined }
type Lease = { readonly reads: readonly string[]; readonly until: number }
type Answer = readonly [status: number, body: object]

const denied: Answer = [403, { errors: ["permission denied"] }]
const bad = (what: string): Answer => [400, { errors: [what] }]

const mayRead = ({ reads, until }: Lease, path: string): boolean =>
  Date.now() < until && reads.some((each) => path === each || path.startsWith(`${each}/`))

/** As Go writes it: nine digits after the second. */
const time = (ms: number | undefined): string =>
  ms === undefined ? "" : new Date(ms).toISOString().replace("Z", "000000Z")

/** The answer about a key: its newest version, or 404, with the metadata if there ever was one. */
const newest = (versions: readonly Version[] | undefined): Answer => {
  const last = versions?.at(-1)
  if (versions === undefined || last === undefined) return [404, { errors: [] }]
  const { data, created, deletionTime } = last
  const metadata = {
    created_time: time(created),
    custom_metadata: null,
    deletion_time: time(deletionTime),
    destroyed: false,
    version: versions.length,
  }
  const isGone = deletionTime !== undefined && deletionTime <= Date.now()
  return [isGone ? 404 : 200, { request_id: randomUUID(), data: { data: isGone ? null : data, metadata } }]
}

const loginAnswer = (token: string, { ttlSeconds }: VaultRole): Answer => [
  200,
  {
    request_id: randomUUID(),
    lease_id: "",
    renewable: false,
    lease_duration: 0,
    data: null,
    auth: { client_token: token, policies: ["default"], lease_duration: ttlSeconds, renewable: true },
  },
]

/** Starts the server on loopback. */
export const startVault = async ({ review, mount = "secret" }: VaultOptions): Promise<Vault> => {
  const secrets = new Map<string, Version[]>()
  const roles = new Map<string, VaultRole>()
  const leases = new Map<string, Lease>()
  const requests: VaultRequest[] = []

  const issue = (reads: readonly string[], ttlSeconds: number): string => {
    const token = `hvs.${randomUUID()}`
    leases.set(token, { reads, until: Date.now() + ttlSeconds * 1_000 })
    return token
  }
  const login = async (body: string): Promise<Answer> => {
    const { role: name, jwt } = JSON.parse(body) as { readonly role?: string; readonly jwt?: string }
    if (name === undefined) return bad("missing role")
    if (jwt === undefined) return bad("missing jwt")
    const role = roles.get(name)
    if (role === undefined) return bad(`invalid role name "${name}"`)
    const account = await review(jwt)
    if (account === undefined || !role.accounts.includes(account)) return denied
    return loginAnswer(issue(role.reads, role.ttlSeconds), role)
  }
  const answerTo = async ({ method, url, token, body }: VaultRequest): Promise<Answer> => {
    if (method === "POST" && url === "/v1/auth/kubernetes/login") return login(body)
    const lease = leases.get(token)
    const path = decodeURIComponent(url)
    const prefix = `/v1/${mount}/data/`
    if (lease === undefined || !path.startsWith(prefix)) return denied
    const key = path.slice(prefix.length)
    return method === "GET" && mayRead(lease, key) ? newest(secrets.get(key)) : denied
  }
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { method = "", url = "", headers } = request
    const seen = { method, url, token: String(headers["x-vault-token"] ?? ""), body: await text(request) }
    requests.push(seen)
    const [status, body] = await answerTo(seen)
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body))
  }
  const server = createServer((request, response) => {
    serve(request, response).catch(() => response.destroy())
  })
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done))
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    write: (path, data, deletionTime) => {
      secrets.set(path, [...(secrets.get(path) ?? []), { data, created: Date.now(), deletionTime }])
    },
    role: (name, role) => roles.set(name, role),
    token: (reads, ttlSeconds = 3_600) => issue(reads, ttlSeconds),
    revoke: (token) => leases.delete(token),
    close: () =>
      new Promise((done) => {
        server.close(() => done())
        server.closeAllConnections()
      }),
  }
}
