import { containerFields } from "../../api/kinds/container.ts"
import { type Secret, secretKind } from "../../api/kinds/kubernetes.ts"
import { type MCPInstance, type MCPInstanceSpec, mcpInstanceKind } from "../../api/kinds/mcp-instance.ts"
import type { MCPTarget } from "../../api/kinds/mcp-target.ts"
import { labels, recommendedLabels } from "../../api/names.ts"
import type { Compose, Composition } from "../../credentials/compose.ts"
import { type Holder, toRecord } from "../../credentials/scopes.ts"
import { giveToInstance, toCompositionSecret } from "../../credentials/secret.ts"
import { AppError, hasCode } from "../../errors.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { ClusterPort } from "../../ports/cluster.ts"
import type { Logger } from "../../ports/telemetry.ts"
import { refusal } from "../refusals.ts"

/** What a new instance is made of. */
type InstancePlan = {
  readonly name: string
  readonly namespace: string
  readonly target: MCPTarget
  readonly subjectKey: string
  /** Name of the Secret of its composition. */
  readonly secretName: string
  /** When the Secret's values expire, in milliseconds since the epoch. */
  readonly expiresAt?: number | undefined
  /** The scope Secrets that were looked at. */
  readonly scopes: readonly string[]
  /** The sharer for people; absent unless subjects may be shown. */
  readonly subject?: string | undefined
}

type ContainerSpec = Pick<MCPTarget["spec"], keyof typeof containerFields>

/** What target and instance say alike, as the target says it. */
const containerSpec = (spec: MCPTarget["spec"]): ContainerSpec => {
  const { image, port } = spec
  const fields = Object.keys(containerFields) as (keyof typeof containerFields)[]
  const given = fields.filter((field) => spec[field] !== undefined).map((field) => [field, spec[field]])
  return { ...Object.fromEntries(given), image, port }
}

/** The instance as the gateway creates it: owned by its target, the target's spec copied. Pure. */
export const toInstance = (plan: InstancePlan): MCPInstance => {
  const { target } = plan
  const { name: targetName, uid: targetUID = "", generation } = target.metadata
  const spec: MCPInstanceSpec = {
    ...containerSpec(target.spec),
    targetName,
    targetUID,
    ...(generation === undefined ? {} : { targetGeneration: generation }),
    subjectKey: plan.subjectKey,
    secretName: plan.secretName,
    ...(plan.expiresAt === undefined ? {} : { secretExpireTime: new Date(plan.expiresAt).toISOString() }),
  }
  return {
    apiVersion: mcpInstanceKind.apiVersion,
    kind: mcpInstanceKind.kind,
    metadata: {
      name: plan.name,
      namespace: plan.namespace,
      labels: {
        ...recommendedLabels(plan.name),
        [labels.target]: targetName,
        [labels.instance]: plan.name,
      },
      annotations: {
        [labels.credentialScopes]: toRecord(plan.scopes),
        ...(plan.subject === undefined ? {} : { [labels.subject]: plan.subject }),
      },
      ownerReferences: [{ apiVersion: target.apiVersion, kind: target.kind, name: targetName, uid: targetUID }],
    },
    spec,
  }
}

/** Whose instance is to be made. */
type CreateOrder = {
  readonly name: string
  readonly target: MCPTarget
  readonly subjectKey: string
  readonly holder: Holder
  /** The sharer for people; absent unless subjects may be shown. */
  readonly subject?: string | undefined
  /** Id of the request that asked first, for the log. */
  readonly requestId?: string | undefined
}

/** What making an instance needs. */
type CreateDeps = {
  readonly cluster: ClusterPort
  readonly namespace: string
  readonly compose: Compose
  readonly clock: ClockPort
  readonly log: Logger
}

/** How often a vanished rival is tried again. */
const maxRaces = 3
/** How often the Secret's owner is written before it is left to the target. */
const maxOwnerTries = 3
/** Pause between those. */
const ownerPauseMs = 1_000

/** Removes a Secret that no instance refers to. Best effort: what stays goes with the target. */
const discard = async (deps: CreateDeps, secret: Secret, signal: AbortSignal): Promise<void> => {
  const { name, uid } = secret.metadata
  try {
    const preconditions = uid === undefined ? {} : { uid }
    await deps.cluster.delete(secretKind, { namespace: deps.namespace, name }, { signal, preconditions })
  } catch (error) {
    deps.log.warn("an unused Secret could not be removed; it goes with its target", { name, error })
  }
}

/** Gives the Secret to its instance. Never rejects: what stays with the target goes with the target. */
const handOver = async (deps: CreateDeps, secret: Secret, made: MCPInstance, signal: AbortSignal): Promise<void> => {
  for (let attempt = 1; ; attempt++) {
    try {
      return await giveToInstance(deps.cluster, secret, made, { signal })
    } catch (error) {
      if (signal.aborted || hasCode(error, "ApiNotFound")) return
      if (attempt === maxOwnerTries)
        return deps.log.warn("a Secret stays with its target", { name: secret.metadata.name, error })
      await deps.clock.sleep(ownerPauseMs, signal).catch(() => {})
    }
  }
}

/**
 * Asks for a restart if a credential was written between its reading and the instance's making: whoever wrote it restarted
 * the instances that were there, and this one was not yet. Never rejects.
 */
const ensureCurrent = async (
  { cluster, namespace, clock, log }: CreateDeps,
  composition: Composition,
  { metadata: { name, uid } }: MCPInstance,
  signal: AbortSignal,
): Promise<void> => {
  try {
    if (!(await composition.changed(signal))) return
    const patch = { metadata: { uid }, spec: { restartTime: new Date(clock.now()).toISOString() } }
    await cluster.mergePatch(mcpInstanceKind, { namespace, name }, patch, { signal })
    log.info("a credential was written while the instance was made: it is restarted", { instance: name })
  } catch (error) {
    if (signal.aborted || hasCode(error, "ApiNotFound", "ApiConflict")) return
    log.warn("it is not known whether the instance has the credentials that apply", { instance: name, error })
  }
}

type Made = { readonly instance: MCPInstance; readonly created: boolean } | undefined

/** Creates the instance, or joins the one that somebody else made; undefined if that one vanished at once. */
const createOrJoin = async (
  deps: CreateDeps,
  order: CreateOrder,
  wanted: MCPInstance,
  signal: AbortSignal,
): Promise<Made> => {
  try {
    return { instance: await deps.cluster.create(mcpInstanceKind, wanted, { signal }), created: true }
  } catch (error) {
    if (!hasCode(error, "ApiAlreadyExists")) throw error
    const ref = { namespace: deps.namespace, name: order.name }
    const found = await deps.cluster.get(mcpInstanceKind, ref, { signal })
    if (found === undefined) return undefined
    // a create that was repeated after its answer was lost finds itself
    return { instance: found, created: found.spec.secretName === wanted.spec.secretName }
  }
}

const attemptCreate = async (deps: CreateDeps, order: CreateOrder, signal: AbortSignal): Promise<Made> => {
  const { cluster, namespace } = deps
  const { name, target } = order
  const composition = await deps.compose(target, order.holder, signal, order.requestId)
  const { values, scopes, expiresAt } = composition
  const secret = await cluster.create(secretKind, toCompositionSecret({ instance: name, target, namespace, values }), {
    signal,
  })
  const plan = { ...order, namespace, scopes, expiresAt, secretName: secret.metadata.name }
  try {
    const made = await createOrJoin(deps, order, toInstance(plan), signal)
    if (made?.created === true) {
      void handOver(deps, secret, made.instance, signal)
      void ensureCurrent(deps, composition, made.instance, signal)
    } else void discard(deps, secret, signal)
    return made
  } catch (error) {
    await discardUnlessUsed(deps, order, secret, signal)
    throw error
  }
}

/** After a create that failed: its answer may only have been lost, and then the instance needs this Secret. */
const discardUnlessUsed = async (
  deps: CreateDeps,
  { name }: CreateOrder,
  secret: Secret,
  signal: AbortSignal,
): Promise<void> => {
  const ref = { namespace: deps.namespace, name }
  const existing = await deps.cluster.get(mcpInstanceKind, ref, { signal }).catch(() => "unknown" as const)
  if (existing === "unknown" || existing?.spec.secretName === secret.metadata.name) return
  await discard(deps, secret, signal)
}

/**
 * Makes a sharer's instance: composes its credentials, creates the Secret, then the instance, then gives the one to the
 * other. If an instance of the name is there already it is returned as it is, and the own Secret removed: whether it is
 * the sharer's, and lives, is for the decision to say.
 * @throws CredentialMissing, InstanceFailed, QuotaExceeded, PluginFailed, ClusterUnavailable
 */
export const createInstance = async (
  deps: CreateDeps,
  order: CreateOrder,
  signal: AbortSignal,
): Promise<MCPInstance> => {
  try {
    for (let race = 0; race < maxRaces; race++) {
      const made = await attemptCreate(deps, order, signal)
      if (made !== undefined) return made.instance
    }
  } catch (error) {
    throw refusal(order.name, "make", error)
  }
  throw new AppError("InstanceStarting", {
    detail: `The instance ${order.name} is made and deleted by others at the moment.`,
    retryAfterSeconds: 2,
  })
}
