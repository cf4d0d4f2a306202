import { type Secret, secretKind } from "../../api/kinds/kubernetes.ts"
import { type MCPInstance, mcpInstanceKind } from "../../api/kinds/mcp-instance.ts"
import type { MCPTarget } from "../../api/kinds/mcp-target.ts"
import type { Compose, Composition } from "../../credentials/compose.ts"
import type { Holder } from "../../credentials/scopes.ts"
import { giveToInstance, toCompositionSecret } from "../../credentials/secret.ts"
import { AppError, hasCode } from "../../errors.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { ClusterPort } from "../../ports/cluster.ts"
import type { Logger } from "../../ports/telemetry.ts"
import type { InstanceView } from "../know/instance-view.ts"
import { refusal } from "../refusals.ts"
import type { CreationTurns } from "./creation-turns.ts"
import { toInstance } from "./new-instance.ts"

/** The sharer and the target that an instance is created for. */
type CreateOrder = {
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
type CreateDeps = {
  readonly cluster: ClusterPort
  readonly namespace: string
  readonly compose: Compose
  /** When the writes may run. */
  readonly turns: CreationTurns
  /** The known instances. */
  readonly view: Pick<InstanceView, "get" | "confirm">
  readonly clock: ClockPort
  readonly log: Logger
}

/** Most tries to create an instance: a try fails if another one has the name and is deleted before it is read. */
const maxRaces = 3
/** Most tries to make the instance the owner of its Secret; after that the target stays the owner. */
const maxOwnerTries = 3
/** Pause between these tries. */
const ownerPauseMs = 1_000

/** Deletes a Secret that no instance refers to. Never rejects: the Secret is deleted with the target at the latest. */
const discard = async (deps: CreateDeps, secret: Secret, signal: AbortSignal): Promise<void> => {
  const { name, uid } = secret.metadata
  try {
    const preconditions = uid === undefined ? {} : { uid }
    await deps.cluster.delete(secretKind, { namespace: deps.namespace, name }, { signal, preconditions })
  } catch (error) {
    deps.log.warn("an unused Secret could not be deleted; it is deleted together with its target", { name, error })
  }
}

/**
 * Makes the instance the Secret's owner. Never rejects: if it fails, the Secret is deleted together with the target.
 */
const handOver = async (deps: CreateDeps, secret: Secret, made: MCPInstance, signal: AbortSignal): Promise<void> => {
  for (let attempt = 1; ; attempt++) {
    try {
      return await giveToInstance(deps.cluster, secret, made, { signal })
    } catch (error) {
      if (signal.aborted || hasCode(error, "ApiNotFound")) return
      if (attempt === maxOwnerTries)
        return deps.log.warn("a Secret could not be given to its instance; it is deleted together with its target", {
          name: secret.metadata.name,
          error,
        })
      await deps.clock.sleep(ownerPauseMs, signal).catch(() => {})
    }
  }
}

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

/** An instance that is there after a try to create it. */
export type Made = {
  readonly instance: MCPInstance
  /** False if another gateway, or a person, created it. */
  readonly created: boolean
}

/**
 * Creates the instance, or returns the existing one of this name; undefined if that one was deleted before it was read.
 */
const createOrJoin = async (
  deps: CreateDeps,
  order: CreateOrder,
  wanted: MCPInstance,
  signal: AbortSignal,
): Promise<Made | undefined> => {
  const known = deps.view.get(order.name)
  if (known !== undefined) return { instance: known, created: false }
  try {
    return { instance: await deps.cluster.create(mcpInstanceKind, wanted, { signal }), created: true }
  } catch (error) {
    if (!hasCode(error, "ApiAlreadyExists")) throw error
    const ref = { namespace: deps.namespace, name: order.name }
    const found = await deps.cluster.get(mcpInstanceKind, ref, { signal })
    if (found === undefined) return undefined
    // a create that was repeated after its response was lost finds its own object
    return { instance: found, created: found.spec.secretName === wanted.spec.secretName }
  }
}

/** Composes before the turn, because that may take long: it must not take the turns of others. */
const attemptCreate = async (deps: CreateDeps, order: CreateOrder, signal: AbortSignal): Promise<Made | undefined> => {
  const composition = await deps.compose(order.target, order.holder, signal, order.requestId)
  const task = (waited: boolean) => createBoth(deps, order, { ...composition, waited }, signal)
  return deps.turns(order.subjectKey, task, signal)
}

/**
 * Creates the Secret, then the instance. Creates nothing if the instance is there by now. After a wait for the turn the
 * API server is asked: when many users come at once, the watch is late as well.
 */
const createBoth = async (
  deps: CreateDeps,
  order: CreateOrder,
  { waited, ...composition }: Composition & { readonly waited: boolean },
  signal: AbortSignal,
): Promise<Made | undefined> => {
  const { cluster, namespace } = deps
  const { name, target } = order
  const known = waited ? await deps.view.confirm(name) : deps.view.get(name)
  if (known !== undefined) return { instance: known, created: false }
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

/**
 * Deletes the Secret after a failed create, unless the instance exists and uses it: then only the response was lost.
 */
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
 * Creates a sharer's instance: composes its credentials, creates the Secret, then the instance, then makes the instance
 * the Secret's owner. If an instance of the name exists by then, it is returned, and a new Secret deleted; decide.ts
 * checks whether the instance is the sharer's and can be used.
 * @throws InstanceStarting if the name is created and deleted by others again and again, or if no turn comes;
 * CredentialMissing, InstanceFailed, QuotaExceeded, PluginFailed, ClusterUnavailable
 */
export const createInstance = async (deps: CreateDeps, order: CreateOrder, signal: AbortSignal): Promise<Made> => {
  try {
    for (let race = 0; race < maxRaces; race++) {
      const made = await attemptCreate(deps, order, signal)
      if (made !== undefined) return made
    }
  } catch (error) {
    throw refusal(order.name, "make", error)
  }
  throw new AppError("InstanceStarting", {
    detail: `The instance ${order.name} is being created and deleted by others at the same time.`,
    retryAfterSeconds: 2,
  })
}
