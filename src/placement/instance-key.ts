import type { MCPTarget } from "../api/kinds/mcp-target.ts"
import { instanceName } from "../api/names.ts"
import { type Holder, scopeNames, scopesOf, toRecord } from "../credentials/scopes.ts"
import type { Identity } from "../identity/identity.ts"
import { sharerOf } from "../identity/subject-key.ts"
import type { Wanted } from "./decide.ts"
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
