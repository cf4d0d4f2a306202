import type { MCPInstance } from "../api/kinds/mcp-instance.ts"
import type { MCPTarget } from "../api/kinds/mcp-target.ts"
import { instanceName } from "../api/names.ts"
import { type Holder, scopeNames, scopesOf, toRecord } from "../credentials/scopes.ts"
import { AppError } from "../errors.ts"
import type { Identity } from "../identity/identity.ts"
import { sharerOf } from "../identity/subject-key.ts"
import type { Reflection } from "../ports/cluster.ts"
import { type Decision, decidePlacement, type Hold, type Wanted } from "./decide.ts"
import type { InstanceView } from "./know/instance-view.ts"
import type { Reach } from "./know/reachable.ts"
import type { PlacementRequest } from "./port.ts"

/** Whose instance a request belongs to. */
export type Seat = {
  /** Name of the instance. */
  readonly name: string
  readonly subjectKey: string
  /** Who shares it, as credentials see them. */
  readonly holder: Holder
  /** The scope Secrets that apply, as an instance records them. */
  readonly scopes: string
}

const holderOf = ({ target, identity, subjectKey }: PlacementRequest, issuers: readonly string[]): Holder => {
  const { issuer, subject, groups, roles } = identity
  const holder = { subjectKey, issuer, subject, groups, roles }
  if (target.spec.subjectKey !== undefined) return holder
  const sharer = sharerOf(target, identity, issuers)
  if (sharer.kind === "user") return { ...holder, identity }
  return sharer.kind === "role" || sharer.kind === "group" ? { ...holder, shared: sharer.name } : holder
}

const makeSeat = (request: PlacementRequest, issuers: readonly string[]): Seat => {
  const { target, subjectKey } = request
  const holder = holderOf(request, issuers)
  return {
    name: instanceName(target.metadata.name, target.metadata.uid ?? "", subjectKey),
    subjectKey,
    holder,
    scopes: toRecord(scopeNames(target, scopesOf(target, holder))),
  }
}

/**
 * Finds seats, remembering them for as long as target and identity are the same objects: names are digests, and a warm
 * request should not compute a handful of them.
 */
export const createSeating = (issuers: readonly string[]): ((request: PlacementRequest) => Seat) => {
  const seats = new WeakMap<MCPTarget, WeakMap<Identity, Seat>>()
  return (request) => {
    const { target, identity, subjectKey } = request
    const known = seats.get(target) ?? new WeakMap<Identity, Seat>()
    seats.set(target, known)
    const seat = known.get(identity)
    if (seat !== undefined && seat.subjectKey === subjectKey) return seat
    const made = makeSeat(request, issuers)
    known.set(identity, made)
    return made
  }
}

/** What the decision needs to know of a request. */
export const toWanted = ({ target, mode, continues }: PlacementRequest, { subjectKey, scopes }: Seat): Wanted => ({
  mode,
  targetUID: target.metadata.uid ?? "",
  subjectKey,
  scopes,
  continues: continues === true,
})

/** One request on its way to its instance. */
export type Visit = {
  readonly request: PlacementRequest
  readonly seat: Seat
  readonly wanted: Wanted
  /** Incarnation of the server that had an address when the request came. One that begins later is new to everybody. */
  readonly met: string | undefined
  /** Why it waits, as last decided. */
  hold: Hold | undefined
}

/** True if the request came before this life of the server had an address: nobody else can have called it yet. */
export const isEarly = ({ met }: Visit, { status }: MCPInstance): boolean => met !== status?.incarnation

/** Makes what decides about a visit by what is known now. */
export const createLook =
  (view: Pick<InstanceView, "get" | "isTrusted">, reach: Pick<Reach, "url">) =>
  (visit: Visit): Decision => {
    const { seat, wanted } = visit
    const instance = view.get(seat.name)
    const reachable = instance !== undefined && reach.url(instance, isEarly(visit, instance)) !== undefined
    return decidePlacement({ instance, reachable, trusted: view.isTrusted(seat.name) }, wanted)
  }

/**
 * Refuses requests to a target that takes none.
 * @throws TargetPaused, TargetNotFound (it is being deleted)
 */
export const ensureOpen = ({ metadata, spec }: MCPTarget): void => {
  if (metadata.deletionTimestamp !== undefined)
    throw new AppError("TargetNotFound", { detail: `The target ${metadata.name} is being deleted.` })
  if (spec.paused === true)
    throw new AppError("TargetPaused", { detail: `The target ${metadata.name} is paused.`, retryAfterSeconds: 60 })
}

/**
 * The same for a request that has waited: for a target that went meanwhile an instance would be made in vain, again and
 * again, because the cluster removes what has no owner.
 * @throws TargetPaused, TargetNotFound
 */
export const ensureStillOpen = (targets: Pick<Reflection<MCPTarget>, "get">, { metadata }: MCPTarget): void => {
  const now = targets.get(metadata.name)
  if (now === undefined || now.metadata.uid !== metadata.uid)
    throw new AppError("TargetNotFound", { detail: `The target ${metadata.name} was deleted.` })
  ensureOpen(now)
}
