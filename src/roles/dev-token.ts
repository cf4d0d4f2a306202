import type { Purpose } from "../config/commands.ts"
import { mintDevToken } from "../identity/dev-tokens.ts"
import { ensureDevKey } from "./dev-key.ts"

/** Whose token to mint, and for what. */
export type TokenRequest = {
  readonly subject: string
  readonly groups: readonly string[]
  readonly roles: readonly string[]
  /** Other claims, `email` among them. */
  readonly claims?: Readonly<Record<string, unknown>>
  readonly purposes: readonly Purpose[]
  /** How long it works, in milliseconds. */
  readonly ttlMs: number
}

/** Mints a token that a gateway of the role dev with the same `stateDir` accepts, whether it runs already or not. */
export const devToken = async (stateDir: string, request: TokenRequest): Promise<string> =>
  mintDevToken(await ensureDevKey(stateDir), {
    subject: request.subject,
    groups: request.groups,
    roles: request.roles,
    ...(request.claims === undefined ? {} : { claims: request.claims }),
    for: request.purposes,
    ttlSeconds: Math.round(request.ttlMs / 1000),
  })
