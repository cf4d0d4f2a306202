/**
 * Secret resolver `vault:PATH#KEY`: reads `KEY` of `MOUNT/data/PATH` from HashiCorp Vault's KV version 2 engine
 * (https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2). The gateway authenticates with Kubernetes auth
 * (https://developer.hashicorp.com/vault/api-docs/auth/kubernetes) or with a token from a file.
 */
import { readFile } from "node:fs/promises"
import { z } from "zod"
import { definePlugin } from "../src/plugin/contract.ts"

const config = z.strictObject({
  /** URL of Vault, e.g. https://vault.example.com:8200. */
  address: z.string().regex(/^https?:\/\/[^\s/?#@]+\/?$/, "must be an http(s) URL without a path"),
  /** Mount of the KV engine. */
  mount: z
    .string()
    .regex(/^[\w./-]+$/)
    .default("secret"),
  /** Vault Enterprise namespace. */
  namespace: z.string().optional(),
  auth: z.union([
    z.strictObject({ token_file: z.string().min(1) }),
    z.strictObject({
      kubernetes: z.strictObject({
        role: z.string().min(1),
        mount: z
          .string()
          .regex(/^[\w./-]+$/)
          .default("kubernetes"),
        token_path: z.string().default("/var/run/secrets/kubernetes.io/serviceaccount/token"),
      }),
    }),
  ]),
})

type Config = z.output<typeof config>
type Answer = { readonly status: number; readonly body: Readonly<Record<string, unknown>> }
type Session = { readonly token: string; readonly until: number }

/** After this part of its lease, a session is replaced by a new login. */
const usablePart = 0.8

const record = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {}

const call = async (
  { address, namespace }: Config,
  path: string,
  init: { readonly signal: AbortSignal; readonly token?: string; readonly post?: unknown },
): Promise<Answer> => {
  const response = await fetch(`${address.replace(/\/$/, "")}/v1/${path}`, {
    method: init.post === undefined ? "GET" : "POST",
    redirect: "error",
    signal: init.signal,
    headers: {
      "x-vault-request": "true",
      ...(init.token === undefined ? {} : { "x-vault-token": init.token }),
      ...(namespace === undefined ? {} : { "x-vault-namespace": namespace }),
    },
    ...(init.post === undefined ? {} : { body: JSON.stringify(init.post) }),
  })
  return { status: response.status, body: record(await response.json().catch(() => undefined)) }
}

const refused = (what: string, { status }: Answer): Error => new Error(`Vault answered ${status} to ${what}`)

const login = async (settings: Config, now: number, signal: AbortSignal): Promise<Session> => {
  const { auth } = settings
  // another program may renew the token in the file, so the file is read for each value
  if ("token_file" in auth) return { token: (await readFile(auth.token_file, "utf8")).trim(), until: now }
  const { role, mount, token_path } = auth.kubernetes
  const jwt = (await readFile(token_path, "utf8")).trim()
  const answer = await call(settings, `auth/${mount}/login`, { signal, post: { role, jwt } })
  const { client_token: token, lease_duration: seconds } = record(answer.body.auth)
  if (answer.status !== 200 || typeof token !== "string") throw refused("the login", answer)
  return { token, until: now + Number(seconds ?? 0) * 1_000 * usablePart }
}

/** Path (URL-encoded) and key of a reference such as `team/github#token`. */
const parse = (reference: string): { readonly path: string; readonly key: string } => {
  const hash = reference.lastIndexOf("#")
  const [path, key] = [reference.slice(0, hash), reference.slice(hash + 1)]
  const steps = path.split("/")
  if (hash < 1 || key === "" || steps.some((step) => step === "" || step === "." || step === ".."))
    throw new Error("a reference must be PATH#KEY")
  return { path: steps.map(encodeURIComponent).join("/"), key }
}

const valueIn = (answer: Answer, key: string): { readonly value: string; readonly expiresAt?: number } => {
  const { data, metadata } = record(answer.body.data)
  const values = record(data)
  const value = Object.hasOwn(values, key) ? values[key] : undefined
  if (typeof value !== "string" || value === "") throw new Error("Vault has no text under that key")
  // set if Vault will delete this version of the secret
  const end = Date.parse(String(record(metadata).deletion_time ?? ""))
  return Number.isNaN(end) ? { value } : { value, expiresAt: end }
}

export default definePlugin({
  api: 1,
  name: "vault",
  config,
  setup: (settings) => {
    let session: Session | undefined
    return {
      secrets: {
        vault: async ({ reference }, { signal, clock }) => {
          const { path, key } = parse(reference)
          const read = async (): Promise<Answer> => {
            if (session === undefined || clock.now() >= session.until)
              session = await login(settings, clock.now(), signal)
            return call(settings, `${settings.mount}/data/${path}`, { signal, token: session.token })
          }
          let answer = await read()
          if (answer.status === 403) {
            // the session may have been revoked: try once more with a new login
            session = undefined
            answer = await read()
          }
          if (answer.status !== 200) throw refused(`the read of ${settings.mount}/${path}`, answer)
          return valueIn(answer, key)
        },
      },
    }
  },
})
