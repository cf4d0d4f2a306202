/**
 * The public plugin API, `reflow-gateway/plugin`, contract 1.
 *
 * A plugin is one module whose default export is what {@link definePlugin} returns. It adds hooks, and each target
 * chooses hooks by name: a subject-key strategy (`spec.subjectKey.strategy`), secret resolvers (the scheme of
 * `spec.secrets[].from`) and pod templates (`spec.podTemplates[].name`).
 */
import type { MCPInstance } from "../api/kinds/mcp-instance.ts"
import type { MCPTarget } from "../api/kinds/mcp-target.ts"
import type { Pod } from "../api/kinds/pod.ts"
import { AppError } from "../errors.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { Logger } from "../ports/telemetry.ts"
import type { SchemaOutput, StandardSchema } from "./standard-schema.ts"

export type { MCPInstance, MCPTarget, Pod, StandardSchema }

/** Number of the contract that this module describes. */
export const contractVersion = 1

/**
 * Who is calling, from a verified credential. The subject alone is never an identity: `(source, issuer, subject)` is.
 * Equal subjects, groups or claims of two issuers belong to different people.
 */
export type PluginIdentity = {
  /** How it was verified. */
  readonly source: "token" | "jwt"
  /** Short name of the issuer in the configuration; `static` or `dev` for tokens without an issuer. */
  readonly issuer: string
  readonly subject: string
  readonly email?: string
  readonly groups: readonly string[]
  readonly roles: readonly string[]
  /** OAuth scopes of the token. */
  readonly scopes: readonly string[]
  /** All verified claims; empty for static tokens. */
  readonly claims: Readonly<Record<string, unknown>>
}

/** Whose instance it is: one user, role or group, everyone, or what a subject-key strategy put together. */
export type Sharer = {
  readonly kind: "shared" | "role" | "group" | "user" | "key"
  /** Subject key of the instance, e.g. `user:k7q2…`; the same for every caller who shares it. */
  readonly subjectKey: string
  /** Issuer of the user, role or group; absent for `shared` and `key`. */
  readonly issuer?: string
  /** Subject, role or group; absent for `shared` and `key`. */
  readonly name?: string
  /**
   * Who the user is, with groups and claims, as the token says by which the instance was asked for. Only for `user`: where
   * several share an instance, what one of them may have is none of the others' business.
   */
  readonly identity?: PluginIdentity
}

/** What a hook may use besides its input. */
export type HookContext = {
  /** Aborted at the hook's time limit (subject key 1 s, secrets 10 s), or when nobody waits for the answer any more. */
  readonly signal: AbortSignal
  /** Logs with the names of plugin and hook. Never write a secret to it. */
  readonly log: Logger
  readonly clock: ClockPort
  /** The target that chose the hook. */
  readonly target: MCPTarget
  /**
   * Reads one key of a Secret in the namespace of the instances; resolves with undefined if it is not there. Rejects
   * for names that the plugin's configuration does not allow.
   */
  readonly readSecret: (name: string, key: string) => Promise<string | undefined>
}

/** What a plugin's setup may use besides its configuration. */
export type SetupContext = Pick<HookContext, "signal" | "log" | "clock">

/** What a pod template may use besides its input. */
export type PodTemplateContext = Pick<HookContext, "log">

/** Input of a subject-key strategy. */
export type SubjectKeyInput = {
  readonly identity: PluginIdentity
  /** The target's `spec.subjectKey.config`, as the hook's schema yields it; as written if the hook has no schema. */
  readonly config: unknown
}

/**
 * What tells one sharer of a target from another: at most 1,024 bytes, digested before it is used. Undefined or an empty
 * string denies the request with 403. Two identities that yield one string share one server and its credentials, so
 * put `identity.issuer` into it wherever equal values of two issuers mean different people.
 */
export type SubjectKeyResult = string | undefined

/** Input of a secret resolver. */
export type SecretInput = {
  /** The text after the scheme: `team/github#token` of `vault:team/github#token`. */
  readonly reference: string
  /** Environment variable that the value becomes. */
  readonly name: string
  /** Whose instance the value is for. Never the caller of the moment: a shared instance gets no user's value. */
  readonly sharer: Sharer
}

/** What a secret resolver yields. */
export type SecretResult = {
  /** The value; not empty, never logged. */
  readonly value: string
  /**
   * Milliseconds since the Unix epoch after which the value is of no use; the instance is replaced in time. A moment that
   * has passed is refused.
   */
  readonly expiresAt?: number
}

/** Input of a pod template. */
export type PodTemplateInput = {
  /** The Pod so far: the defaults, then what the templates before this one made of it. */
  readonly pod: Pod
  /** The instance that the Pod is for. */
  readonly instance: MCPInstance
  /** The instance's `spec.podTemplates[].config`, as the hook's schema yields it; as written if it has no schema. */
  readonly config: unknown
}

/** A hook with a schema for the configuration that targets give it. {@link defineHook} makes one. */
export type ConfiguredHook<Input, Context, Result> = {
  readonly config: StandardSchema
  /** Declared as a method, so that a hook whose schema yields a narrower `config` is one too. */
  run(input: Input, context: Context): Result
}

type Hook<Input, Context, Result> =
  | ((input: Input, context: Context) => Result)
  | ConfiguredHook<Input, Context, Result>

/** Says whose instance answers. */
export type SubjectKeyHook = Hook<SubjectKeyInput, HookContext, SubjectKeyResult | Promise<SubjectKeyResult>>

/** Fetches a value from where it is kept. Throws {@link noCredential} if the sharer has none. */
export type SecretHook = (input: SecretInput, context: HookContext) => SecretResult | Promise<SecretResult>

/**
 * Changes the Pod of an instance: pure and synchronous, returns a new Pod. Owner, labels and the security floor are put
 * back afterwards.
 */
export type PodTemplateHook = Hook<PodTemplateInput, PodTemplateContext, Pod>

/** The hooks of a plugin by name. Targets write `plugin/name`; the plugins that come with the gateway need no prefix. */
export type Hooks = {
  readonly subjectKeys?: Readonly<Record<string, SubjectKeyHook>>
  /** By scheme: `vault` resolves `vault:…`. */
  readonly secrets?: Readonly<Record<string, SecretHook>>
  readonly podTemplates?: Readonly<Record<string, PodTemplateHook>>
}

/** A plugin. */
export type Plugin<Config extends StandardSchema = StandardSchema> = {
  /** The contract that the plugin is written for. */
  readonly api: typeof contractVersion
  /** Unique among the loaded plugins: a-z, 0-9 and '-', beginning with a letter. */
  readonly name: string
  /** Checks the plugin's configuration, `plugins[].config`. Without it, setup gets the configuration as written. */
  readonly config?: Config
  /** Makes the hooks; runs once at the start, within 10 s. A rejection stops the start. */
  setup(config: SchemaOutput<Config>, context: SetupContext): Hooks | Promise<Hooks>
}

/**
 * Types a plugin; the module's default export.
 *
 * @example
 * export default definePlugin({
 *   api: 1,
 *   name: "tenant",
 *   config: z.object({ claim: z.string() }),
 *   setup: ({ claim }) => ({
 *     subjectKeys: { tenant: ({ identity }) => requireClaim(identity, claim) },
 *   }),
 * })
 */
export const definePlugin = <Config extends StandardSchema = StandardSchema>(plugin: Plugin<Config>): Plugin<Config> =>
  plugin

/**
 * Types a hook whose targets configure it: `run` gets `config` as the schema yields it.
 *
 * @example
 * podTemplates: {
 *   zone: defineHook(z.object({ zone: z.string() }), ({ pod, config }) => ({
 *     ...pod,
 *     spec: { ...pod.spec, nodeSelector: { "topology.kubernetes.io/zone": config.zone } },
 *   })),
 * }
 */
export const defineHook = <Schema extends StandardSchema, Input, Context, Result>(
  config: Schema,
  run: (input: Input & { readonly config: SchemaOutput<Schema> }, context: Context) => Result,
): { readonly config: Schema; run(input: Input, context: Context): Result } => ({ config, run })

const own = (value: unknown, key: string): unknown =>
  typeof value === "object" && value !== null && Object.hasOwn(value, key)
    ? (value as Record<string, unknown>)[key]
    : undefined

const claimAt = (claims: unknown, path: string | readonly string[]): unknown =>
  typeof path === "string" ? (own(claims, path) ?? path.split(".").reduce(own, claims)) : path.reduce(own, claims)

/**
 * A claim of the caller that must be there: the claim of that very name, else the one at the dotted path
 * (`realm_access.tenant`); or the one at a list of names, for names with dots in them
 * (`["resource_access", "https://mcp.example.com", "tenant"]`). Throws SubjectKeyDenied, which the caller sees as a 403 that
 * names the claim, unless it is a non-empty string of valid Unicode: numbers, lists, objects and halves of surrogate pairs
 * have no spelling that tells all of them apart. The claim `email` counts for nothing where the token has an
 * `email_verified` that is not true: anybody could have written anybody's address.
 */
export const requireClaim = (identity: PluginIdentity, claim: string | readonly string[]): string => {
  const value = claimAt(identity.claims, claim)
  const name = typeof claim === "string" ? claim : JSON.stringify(claim)
  const isEmail = typeof claim === "string" ? claim === "email" : claim.length === 1 && claim[0] === "email"
  const { claims } = identity
  const isDoubtful = isEmail && Object.hasOwn(claims, "email_verified") && claims.email_verified !== true
  if (typeof value === "string" && value !== "" && value.isWellFormed() && !isDoubtful) return value
  throw new AppError("SubjectKeyDenied", {
    detail: `Your token has no usable claim '${name}', which this target needs.`,
    data: { claim: name },
  })
}

/**
 * What a strategy throws to deny the caller with a reason that the caller reads: `throw denied("Ask sales for a seat.")`. One
 * line of at most 500 characters; never write a secret into it. Returning undefined denies without one.
 */
export const denied = (reason: string): Error => new AppError("SubjectKeyDenied", { detail: String(reason) })

/**
 * What a resolver throws if the sharer has no such credential: `throw noCredential("Connect your account at https://…")`. The
 * caller gets CredentialMissing with the reason, one line of at most 500 characters, unless a value was set by the REST API
 * or the target's `credentials` name the variable without `required`. Never write a secret into it.
 */
export const noCredential = (reason = ""): Error => new AppError("CredentialMissing", { detail: String(reason) })
