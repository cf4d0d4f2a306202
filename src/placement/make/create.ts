import { createHash } from "node:crypto"
import { containerFields } from "../../api/kinds/container.ts"
import { type MCPInstance, type MCPInstanceSpec, mcpInstanceKind } from "../../api/kinds/mcp-instance.ts"
import type { MCPTarget } from "../../api/kinds/mcp-target.ts"
import { labels, recommendedLabels, secretName } from "../../api/names.ts"
import type { Compose, Composition } from "../../credentials/compose.ts"
import { type Holder, toRecord } from "../../credentials/scopes.ts"
import { AppError, hasCode } from "../../errors.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { ClusterPort } from "../../ports/cluster.ts"
import type { Logger } from "../../ports/telemetry.ts"
import type { Turns } from "../../waiting/turns.ts"
import { refusal } from "../refusals.ts"
import { createComposition } from "./composition.ts"

/** The content of a new instance. */
type InstancePlan = {
  readonly name: string
  readonly namespace: string
  readonly target: MCPTarget
  readonly subjectKey: string
  /** Name of the Secret of its composition. */
  readonly secretName: string
  /** When the Secret's values expire, in milliseconds since the epoch. */
  readonly expiresAt?: number | undefined
  /** Names of the scope Secrets that were read. */
  readonly scopes: readonly string[]
  /** The sharer in readable form; absent unless kubernetes.expose_subjects is true. */
  readonly subject?: string | undefined
}

type ContainerSpec = Pick<MCPTarget["spec"], keyof typeof containerFields>

/** The fields that target and instance have in common, with the target's values. */
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

/** The sharer and the target that an instance is created for. */
export type CreateOrder = {
  readonly name: string
  readonly target: MCPTarget
  readonly subjectKey: string
  readonly holder: Holder
  /** The sharer in readable form; absent unless kubernetes.expose_subjects is true. */
  readonly subject?: string | undefined
  /** Id of the request that asked first, for the log. */
  readonly requestId?: string | undefined
}

/** Dependencies of {@link createInstance}. */
export type CreateDeps = {
  readonly cluster: ClusterPort
  readonly namespace: string
  readonly compose: Compose
  readonly clock: ClockPort
  readonly log: Logger
  /** The newest known state of the instance of a name. */
  readonly find: (name: string) => MCPInstance | undefined
  /** Bounds how many instances are created at the same time. */
  readonly turns: Turns
  /** This gateway's name in `inUseBy`. */
  readonly replica: string
}

/** Most tries to create an instance: a try fails if another one has the name and is deleted before it is read. */
const maxRaces = 3

/**
 * Instances that a gateway creates at the same time: as many as it has connections for calls. So an instance's Secret
 * is created right after the instance, also if a thousand users come at once, and not after the other instances. The
 * kubelet looks for the Secret some hundred milliseconds later, and if it is missing, again after ten seconds.
 */
export const maxCreating = 8

/**
 * The turn of an instance among those that wait to be created here: those of earlier seconds first, and those of one
 * second in an order that each gateway has for itself. Users who come at once through several gateways are so served
 * from different ends: a gateway mostly finds that another one has created an instance, before it tries to.
 */
const rankOf = (replica: string, name: string, now: number): number =>
  Math.floor(now / 1_000) + createHash("sha256").update(`${replica}\0${name}`).digest().readUInt32BE() / 2 ** 32

/**
 * Asks for a restart if a credential was written after it was read for this instance and before the instance was
 * created. The writer of a credential restarts the instances that exist, and this one did not exist yet. Never rejects.
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

/** `created`: by this gateway, which then also creates its Secret. */
export type Made = { readonly instance: MCPInstance; readonly created: boolean }

/**
 * Creates the instance, or returns the existing one of this name; undefined if that one was deleted before it was read.
 */
const createOrJoin = async (deps: CreateDeps, wanted: MCPInstance, signal: AbortSignal): Promise<Made | undefined> => {
  const { cluster, namespace } = deps
  try {
    return { instance: await cluster.create(mcpInstanceKind, wanted, { signal }), created: true }
  } catch (error) {
    // without an answer it is unknown whether the instance was created
    if (!hasCode(error, "ApiAlreadyExists", "ClusterUnavailable")) throw error
    const found = await cluster.get(mcpInstanceKind, { namespace, name: wanted.metadata.name }, { signal })
    // a create that was repeated after its response was lost finds its own object
    const created = found?.spec.secretName === wanted.spec.secretName
    if (!created && !hasCode(error, "ApiAlreadyExists")) throw error
    return found && { instance: found, created }
  }
}

/** Deletes an instance that this gateway has created and that gets no Secret. Never rejects. */
const withdraw = async (deps: CreateDeps, { metadata: { name, uid } }: MCPInstance): Promise<void> => {
  try {
    const preconditions = uid === undefined ? {} : { uid }
    await deps.cluster.delete(mcpInstanceKind, { namespace: deps.namespace, name }, { preconditions })
  } catch (error) {
    deps.log.warn("an instance without its Secret could not be deleted; the next request creates the Secret", {
      instance: name,
      error,
    })
  }
}

const attemptCreate = async (
  deps: CreateDeps,
  order: CreateOrder,
  composition: Composition,
  signal: AbortSignal,
): Promise<Made | undefined> => {
  const { name } = order
  const known = deps.find(name)
  // another gateway was first
  if (known !== undefined) return { instance: known, created: false }
  const { scopes, expiresAt, values } = composition
  const plan = { ...order, namespace: deps.namespace, scopes, expiresAt, secretName: secretName(name) }
  const made = await createOrJoin(deps, toInstance(plan), signal)
  if (made?.created !== true) return made
  try {
    await createComposition(deps, made.instance, values, signal)
  } catch (error) {
    await withdraw(deps, made.instance)
    throw error
  }
  void ensureCurrent(deps, composition, made.instance, signal)
  return made
}

/**
 * Creates a sharer's instance: composes its credentials, creates the instance, and then the Secret that it names and
 * owns. Of several gateways that create one instance, the API server lets one win by the name, and only that one creates
 * a Secret. If an instance of the name exists already, it is returned; decide.ts checks whether it is the sharer's and
 * can be used. A gateway that ends between the two leaves an instance without its Secret: see mend.ts.
 * @throws InstanceStarting if the name is created and deleted by others again and again; CredentialMissing,
 * InstanceFailed, QuotaExceeded, PluginFailed, ClusterUnavailable
 */
export const createInstance = async (deps: CreateDeps, order: CreateOrder, signal: AbortSignal): Promise<Made> => {
  const { name, target, holder, requestId } = order
  try {
    for (let race = 0; race < maxRaces; race++) {
      const composition = await deps.compose(target, holder, signal, requestId)
      const rank = rankOf(deps.replica, name, deps.clock.now())
      const made = await deps.turns(rank, () => attemptCreate(deps, order, composition, signal))
      if (made !== undefined) return made
    }
  } catch (error) {
    throw refusal(name, "make", error)
  }
  throw new AppError("InstanceStarting", {
    detail: `The instance ${name} is being created and deleted by others at the same time.`,
    retryAfterSeconds: 2,
  })
}
