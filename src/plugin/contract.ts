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

/** Version of the contract that this module describes; a plugin's `api`. */
export const contractVersion = 1

/**
 * The caller, from a verified credential. The subject alone does not identify a caller: `(source, issuer, subject)`
 * does. Equal subjects, groups or claims of two issuers can belong to different people.
 */
export type PluginIdentity = {
  /** How the credential was verified: a static token of the configuration, or a JWT. */
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

/**
 * The sharer of an instance, to whom it belongs: a user, a role, a group, everybody (`shared`), or all callers with the
 * same key of a subject-key strategy (`key`).
 */
export type Sharer = {
  readonly kind: "shared" | "role" | "group" | "user" | "key"
  /** Subject key of the instance, e.g. `user:k7q2…`; the same for every caller who shares it. */
  readonly subjectKey: string
  /** Issuer of the user, role or group; absent for `shared` and `key`. */
  readonly issuer?: string
  /** Subject, role or group; absent for `shared` and `key`. */
  readonly name?: string
  /**
   * The user's identity, from the token of the request that needed the instance. Only for `user`: an instance that
   * several users share must not get values that belong to one of them.
   */
  readonly identity?: PluginIdentity
}

/** Second argument of hooks. */
export type HookContext = {
  /** Aborted at the hook's time limit (subject key 1 s, secrets 10 s), or when the result is no longer needed. */
  readonly signal: AbortSignal
  /** Logger that adds the names of plugin and hook. Never log a secret. */
  readonly log: Logger
  readonly clock: ClockPort
  /** The target that chose the hook. */
  readonly target: MCPTarget
  /**
   * Reads one key of a Secret in the namespace of the instances; resolves with undefined if there is no such Secret or
   * key. Rejects if `plugins[].secrets` of the configuration does not allow the Secret's name.
   */
  readonly readSecret: (name: string, key: string) => Promise<string | undefined>
}

/** Second argument of a plugin's setup. */
export type SetupContext = Pick<HookContext, "signal" | "log" | "clock">

/** Second argument of a pod template. */
export type PodTemplateContext = Pick<HookContext, "log">

/** Input of a subject-key strategy. */
export type SubjectKeyInput = {
  readonly identity: PluginIdentity
  /** The target's `spec.subjectKey.config`, parsed by the hook's schema; unchanged if the hook has no schema. */
  readonly config: unknown
}

/**
 * The text that identifies the sharer of an instance within a target: at most 1,024 bytes; only its digest is stored.
 * Undefined or an empty string denies the request with 403. Identities with the same text share one server and its
 * credentials, so include `identity.issuer` unless equal values of two issuers mean the same people.
 */
export type SubjectKeyResult = string | undefined

/** Input of a secret resolver. */
export type SecretInput = {
  /** The text after the scheme: `team/github#token` of `vault:team/github#token`. */
  readonly reference: string
  /** Environment variable that the value becomes. */
  readonly name: string
  /** Sharer of the instance that the value is for, not the current caller: a shared instance gets no user's value. */
  readonly sharer: Sharer
}

/** Result of a secret resolver. */
export type SecretResult = {
  /** The value; not empty, never logged. */
  readonly value: string
  /**
   * When the value expires, in milliseconds since the Unix epoch; the instance is replaced before that. A time in the
   * past is refused. Absent = it does not expire.
   */
  readonly expiresAt?: number
}

/** Input of a pod template. */
export type PodTemplateInput = {
  /** The operator's Pod, as the templates before this one have changed it. */
  readonly pod: Pod
  /** The instance that the Pod is for. */
  readonly instance: MCPInstance
  /** The instance's `spec.podTemplates[].config`, parsed by the hook's schema; unchanged if the hook has no schema. */
  readonly config: unknown
}

/** A hook with a schema for the configuration that targets give it. Create it with {@link defineHook}. */
export type ConfiguredHook<Input, Context, Result> = {
  readonly config: StandardSchema
  /** Declared as a method, so that a `run` with a narrower type of `config` is assignable. */
  run(input: Input, context: Context): Result
}

type Hook<Input, Context, Result> =
  | ((input: Input, context: Context) => Result)
  | ConfiguredHook<Input, Context, Result>

/** A subject-key strategy: computes which instance of the target serves the caller. */
export type SubjectKeyHook = Hook<SubjectKeyInput, HookContext, SubjectKeyResult | Promise<SubjectKeyResult>>

/** A secret resolver: fetches a value. Throws {@link noCredential} if there is no value for the sharer. */
export type SecretHook = (input: SecretInput, context: HookContext) => SecretResult | Promise<SecretResult>

/**
 * A pod template: changes the Pod of an instance. It must be pure and synchronous, and return a new Pod. Afterwards the
 * operator restores the owner reference, its own labels and the minimum security settings.
 */
export type PodTemplateHook = Hook<PodTemplateInput, PodTemplateContext, Pod>

/**
 * The hooks of a plugin by name. Targets name them as `plugin/name`; hooks of built-in plugins also without `plugin/`.
 */
export type Hooks = {
  readonly subjectKeys?: Readonly<Record<string, SubjectKeyHook>>
  /** By scheme, without a prefix: `vault` resolves `vault:…`. */
  readonly secrets?: Readonly<Record<string, SecretHook>>
  readonly podTemplates?: Readonly<Record<string, PodTemplateHook>>
}

/** A plugin. */
export type Plugin<Config extends StandardSchema = StandardSchema> = {
  /** Version of the contract that the plugin is written for. */
  readonly api: typeof contractVersion
  /** Unique among the loaded plugins: a-z, 0-9 and '-', beginning with a letter. */
  readonly name: string
  /** Schema of the plugin's configuration, `plugins[].config`. Without it, setup gets the configuration unchanged. */
  readonly config?: Config
  /** Returns the hooks. Called once at the start, with a time limit of 10 s. An error ends the start of the process. */
  setup(config: SchemaOutput<Config>, context: SetupContext): Hooks | Promise<Hooks>
}

/**
 * Returns the plugin unchanged; it only checks the types. Export the result as the module's default export.
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
 * Creates a hook that targets configure: `run` gets `config` parsed by the schema.
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
 * Returns a claim of the caller's token. `claim` is the name of a claim or a dotted path (`realm_access.tenant`); a
 * claim of exactly this name comes first. For names that contain dots it is a list of names (`["resource_access",
 * "https://mcp.example.com", "tenant"]`). Throws SubjectKeyDenied, which the caller sees as a 403 with the claim's
 * name, unless the claim is a non-empty string of valid Unicode: other values have no text form that keeps different
 * values apart. The claim `email` is refused if the token has an `email_verified` that is not true, since the address
 * may belong to another user.
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
 * The error that a strategy throws to deny the caller with a reason: `throw denied("Ask sales for a seat.")`. The
 * caller sees the reason, as one line of at most 500 characters; it must not contain a secret. Returning undefined
 * denies without a reason.
 */
export const denied = (reason: string): Error => new AppError("SubjectKeyDenied", { detail: String(reason) })

/**
 * The error that a resolver throws if there is no such credential for the sharer: `throw noCredential("Connect your
 * account at https://…")`. The caller gets CredentialMissing with the reason, as one line of at most 500 characters; it
 * must not contain a secret. There is no error if a value was set through the REST API, or if the target's
 * `credentials` name the variable without `required`.
 */
export const noCredential = (reason = ""): Error => new AppError("CredentialMissing", { detail: String(reason) })
