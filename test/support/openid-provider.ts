import { createHash, randomBytes } from "node:crypto"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { type CryptoKey, exportJWK, generateKeyPair, type JWK } from "jose"
import Provider, { type Configuration } from "oidc-provider"

/** A real OpenID provider on loopback, which issues JWT access tokens for the resource that a client names (RFC 8707). */
export type OpenIdProvider = {
  readonly issuer: string
  /** Sends a browser through login and consent as `login`; resolves with what it brings back to the client. */
  authorize(url: URL, login: string): Promise<URLSearchParams>
  /** An access token for `resource`, by the whole flow: registration, login as `login`, consent, exchange of the code. */
  token(resource: string, login: string): Promise<string>
  /** Registers a public client that gets tokens on a device without a browser (RFC 8628); resolves with its id. */
  registerDevice(): Promise<string>
  /** What somebody does who is sent to `url` by such a device: log in as `login` and agree. */
  approve(url: URL, login: string): Promise<void>
  /** Serves this key set from now on and signs with it, as after a rotation. */
  rotate(): Promise<void>
  /** Closes the port; `start` opens the same one again. */
  stop(): Promise<void>
  start(): Promise<void>
}

const signingKey = async (kid: string): Promise<JWK> => {
  const { privateKey } = await generateKeyPair("RS256", { extractable: true })
  return { ...(await exportJWK(privateKey as CryptoKey)), kid, use: "sig", alg: "RS256" }
}

const configuration = (keys: JWK[]): Configuration => ({
  jwks: { keys } as NonNullable<Configuration["jwks"]>,
  cookies: { keys: ["test"] },
  scopes: ["openid", "mcp"],
  features: {
    registration: { enabled: true },
    devInteractions: { enabled: true },
    deviceFlow: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo: (_context, resource) => ({
        scope: "mcp",
        audience: resource,
        accessTokenFormat: "jwt",
        accessTokenTTL: 3600,
        jwt: { sign: { alg: "RS256" } },
      }),
    },
  },
})

const listen = (server: Server, port: number): Promise<number> =>
  new Promise((done, fail) => {
    server.once("error", fail)
    server.listen(port, "127.0.0.1", () => done((server.address() as AddressInfo).port))
  })

/** A browser's cookies. */
const createJar = () => {
  const cookies = new Map<string, string>()
  return {
    header: () => [...cookies].map(([name, value]) => `${name}=${value}`).join("; "),
    keep: (response: Response) => {
      for (const line of response.headers.getSetCookie()) {
        const [pair = ""] = line.split(";")
        const at = pair.indexOf("=")
        cookies.set(pair.slice(0, at), pair.slice(at + 1))
      }
    },
  }
}

/** What a form sends that nobody fills in. */
const hiddenFields = (page: string): [string, string][] =>
  [...page.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)"/g)].map(([, name = "", value = ""]) => [
    name,
    value,
  ])

/**
 * What a person does on the provider's pages: log in, then agree. Follows redirects until one leaves the provider, or until a
 * page has no form.
 */
const browse = async (issuer: string, start: URL, login: string): Promise<URL> => {
  const jar = createJar()
  let url = start
  let form: URLSearchParams | undefined
  for (let turn = 0; turn < 12; turn++) {
    const response = await fetch(url, {
      method: form === undefined ? "GET" : "POST",
      ...(form === undefined ? {} : { body: form }),
      headers: { cookie: jar.header() },
      redirect: "manual",
    })
    jar.keep(response)
    form = undefined
    const next = response.headers.get("location")
    if (next !== null) {
      url = new URL(next, url)
      if (url.origin !== issuer) return url
      continue
    }
    const page = await response.text()
    const action = /<form[^>]*action="([^"]+)"/.exec(page)?.[1]
    if (action === undefined && response.ok) return url
    if (action === undefined) throw new Error(`no form at ${url}: ${response.status} ${page.slice(0, 400)}`)
    const own: [string, string][] = page.includes('name="login"')
      ? [
          ["login", login],
          ["password", "any"],
        ]
      : []
    form = new URLSearchParams([...hiddenFields(page), ...own])
    url = new URL(action, url)
  }
  throw new Error("the provider's pages did not come to an end")
}

const postForm = async (url: string, form: Record<string, string>): Promise<Record<string, string>> => {
  const response = await fetch(url, { method: "POST", body: new URLSearchParams(form) })
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`)
  return (await response.json()) as Record<string, string>
}

const redirect = "http://127.0.0.1:1/callback"

const byCode = { redirect_uris: [redirect], grant_types: ["authorization_code"], response_types: ["code"] }
const byDevice = {
  redirect_uris: [],
  grant_types: ["urn:ietf:params:oauth:grant-type:device_code"],
  response_types: [],
}

/** Registers a public client; resolves with its id. */
const register = async (issuer: string, kind: object = byCode): Promise<string> => {
  const body = { ...kind, application_type: "native", token_endpoint_auth_method: "none" }
  const headers = { "content-type": "application/json" }
  const response = await fetch(`${issuer}/reg`, { method: "POST", headers, body: JSON.stringify(body) })
  return ((await response.json()) as { client_id: string }).client_id
}

const requestToken = async (issuer: string, resource: string, login: string): Promise<string> => {
  const client_id = await register(issuer)
  const verifier = randomBytes(32).toString("base64url")
  const url = new URL(`${issuer}/auth`)
  url.search = new URLSearchParams({
    client_id,
    redirect_uri: redirect,
    response_type: "code",
    scope: "mcp",
    resource,
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
  }).toString()
  const code = (await browse(issuer, url, login)).searchParams.get("code") ?? ""
  const form = {
    grant_type: "authorization_code",
    client_id,
    code,
    redirect_uri: redirect,
    code_verifier: verifier,
    resource,
  }
  const { access_token: token } = await postForm(`${issuer}/token`, form)
  if (token === undefined) throw new Error("the provider gave no token")
  return token
}

/** Starts a provider. Anybody can register as a client and log in under any name. */
export const startOpenIdProvider = async (): Promise<OpenIdProvider> => {
  let handler: (...parts: Parameters<ReturnType<Provider["callback"]>>) => unknown = () => {}
  const create = () => createServer((request, response) => void handler(request, response))
  let server = create()
  const port = await listen(server, 0)
  const issuer = `http://127.0.0.1:${port}`
  let count = 0
  const rotate = async () => {
    handler = new Provider(issuer, configuration([await signingKey(`key-${++count}`)])).callback()
  }
  await rotate()
  return {
    issuer,
    rotate,
    token: (resource, login) => requestToken(issuer, resource, login),
    authorize: async (url, login) => {
      const back = await browse(issuer, url, login)
      if (!back.searchParams.has("code")) throw new Error(`the provider gave no code: ${back.search}`)
      return back.searchParams
    },
    registerDevice: () => register(issuer, byDevice),
    approve: async (url, login) => {
      await browse(issuer, url, login)
    },
    stop: () =>
      new Promise((done) => {
        server.close(() => done())
        server.closeAllConnections()
      }),
    start: async () => {
      server = create()
      await listen(server, port)
    },
  }
}
