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

/** The instance that a request belongs to, and its sharer. */
export type Seat = {
  /** Name of the instance. */
  readonly name: string
  readonly subjectKey: string
  /** The sharer, as far as credentials depend on it. */
  readonly holder: Holder
  /** The scope Secrets that apply, in the form of the instance's annotation. */
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
 * Makes the function that finds the seat of a request. Seats are cached for as long as target and identity are the same
 * objects, because computing a seat computes several digests, which would slow down every request.
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

/** The part of a request that {@link decidePlacement} uses. */
export const toWanted = ({ target, mode, continues }: PlacementRequest, { subjectKey, scopes }: Seat): Wanted => ({
  mode,
  targetUID: target.metadata.uid ?? "",
  subjectKey,
  scopes,
  continues: continues === true,
})

/** The placement of one request. */
export type Visit = {
  readonly request: PlacementRequest
  readonly seat: Seat
  readonly wanted: Wanted
  /** Incarnation that had a Pod address when the request came; undefined if none had. */
  readonly met: string | undefined
  /** Why the request waits, by the last decision; undefined if it does not. */
  hold: Hold | undefined
}

/** True if the request came before the current incarnation had an address, so that it waits for this start. */
export const isEarly = ({ met }: Visit, { status }: MCPInstance): boolean => met !== status?.incarnation

/** Makes the function that decides about a visit by the current knowledge. */
export const createVisitDecision =
  (view: Pick<InstanceView, "get" | "isTrusted">, reach: Pick<Reach, "url">) =>
  (visit: Visit): Decision => {
    const { seat, wanted } = visit
    const instance = view.get(seat.name)
    const reachable = instance !== undefined && reach.url(instance, isEarly(visit, instance)) !== undefined
    return decidePlacement({ instance, reachable, trusted: view.isTrusted(seat.name) }, wanted)
  }

/**
 * Refuses requests to a target that is paused or being deleted.
 * @throws TargetPaused, TargetNotFound (it is being deleted)
 */
export const ensureOpen = ({ metadata, spec }: MCPTarget): void => {
  if (metadata.deletionTimestamp !== undefined)
    throw new AppError("TargetNotFound", { detail: `The target ${metadata.name} is being deleted.` })
  if (spec.paused === true)
    throw new AppError("TargetPaused", { detail: `The target ${metadata.name} is paused.`, retryAfterSeconds: 60 })
}

/**
 * As {@link ensureOpen}, by the newest state of the target, for a request that has waited. If the target was deleted
 * meanwhile, an instance must not be created: the garbage collector would delete it at once, and the request would
 * create it again.
 * @throws TargetPaused, TargetNotFound
 */
export const ensureStillOpen = (targets: Pick<Reflection<MCPTarget>, "get">, { metadata }: MCPTarget): void => {
  const now = targets.get(metadata.name)
  if (now === undefined || now.metadata.uid !== metadata.uid)
    throw new AppError("TargetNotFound", { detail: `The target ${metadata.name} was deleted.` })
  ensureOpen(now)
}
