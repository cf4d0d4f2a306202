/**
 * From a server.json of the MCP registry to the target that a person would write of it. Pure: nothing is fetched, and the
 * day is the caller's. The REST API and the command line both use it.
 */
import { suggestion } from "../nearest.ts"
import { documentDigest } from "./digest.ts"
import { type PackageOffer, type RemoteOffer, readDocument, type ServerDocument } from "./document.ts"
import { Draft, type Origin, shown } from "./draft.ts"
import { readGiven } from "./given.ts"
import { addOffer, addRemote, offerText, type Spec, type Wishes } from "./offers.ts"
import { type Fault, type Path, pointerIn, pointerOf } from "./place.ts"

/** Kinds of offers that a caller can ask for. */
export const preferences = ["oci", "npm", "pypi", "remote"] as const
export type Preference = (typeof preferences)[number]

/** What the caller wants of a document. */
export type Request = Wishes & {
  /** Only offers of this kind count; default: packages in the document's order, then remote servers. */
  readonly prefer?: Preference | undefined
  /** Values of the document's inputs by their names, as JSON has them. */
  readonly arguments?: unknown
}

/** A message about a place of the request: a JSON Pointer below /server_json or /arguments. */
export type Remark = { readonly pointer: string; readonly detail: string }

/** What a document became. */
export type Conversion = {
  /** Fields of the spec that the document decides, without defaults. The rules of the kind are not checked yet. */
  readonly spec: Spec
  /** Provenance as JSON: name and version of the document, and its SHA-256. */
  readonly provenance: string
  readonly warnings: readonly Remark[]
  /** The pointer of the place that a field of the spec comes from; undefined if it does not come from the document. */
  readonly originOf: (field: Path) => string | undefined
}

/** Most remarks of a refusal, and most warnings. */
const mostRemarks = 20
/** Most names for which a similar one is looked for, and most that each is compared with: it takes long. */
const mostSuggestions = 5
const mostCompared = 50

type Offer = { readonly offer: PackageOffer | RemoteOffer; readonly kind: string }

const offersOf = ({ packages, remotes }: ServerDocument, prefer: Preference | undefined): readonly Offer[] => {
  const all = [
    ...packages.map((offer) => ({ offer, kind: offer.registryType })),
    ...remotes.map((offer) => ({ offer, kind: "remote" })),
  ]
  return prefer === undefined ? all : all.filter(({ kind }) => kind === prefer)
}

/** Inputs that are given, though the offer has none of these names. */
const unusedOf = ({ given, inputs }: Draft, offer: Offer["offer"]): readonly Fault[] =>
  [...given.keys()]
    .filter((name) => !inputs.has(name))
    .slice(0, mostRemarks)
    .map((name, index) => {
      const known = [...inputs].slice(0, mostCompared)
      const names = known.length === 0 ? "it has none" : `they are ${shown(known.join(", "), 300)}`
      const near = index < mostSuggestions ? suggestion(name, known) : ""
      return { path: ["arguments", name], detail: `is none of the inputs of the ${offerText(offer)}: ${names}${near}` }
    })

const below = (document: unknown, path: Path): string => `/server_json${pointerIn(document, path)}`

const remarksIn = (document: unknown, faults: readonly Fault[]): readonly Remark[] =>
  faults.slice(0, mostRemarks).map(({ path, detail }) => ({ pointer: below(document, path), detail }))

const remarksOf = (faults: readonly Fault[]): readonly Remark[] =>
  faults.slice(0, mostRemarks).map(({ path, detail }) => ({ pointer: pointerOf(path), detail }))

/** Finds the place of the longest field that `field` lies in. */
const findOrigin = (origins: readonly Origin[], field: Path): Path | undefined =>
  origins
    .filter(({ field: own }) => own.every((part, index) => String(part) === String(field[index])))
    .toSorted((left, right) => right.field.length - left.field.length)[0]?.place

const nothingOf = (prefer: Preference | undefined, offered: ServerDocument): Fault => {
  const kinds = new Set(offersOf(offered, undefined).map(({ kind }) => kind))
  const have = kinds.size === 0 ? "neither packages nor remotes" : `only ${shown([...kinds].join(", "), 100)}`
  return { path: [], detail: prefer === undefined ? `has ${have}` : `has no ${prefer} to prefer, ${have}` }
}

/** `faults`: why the offers before the one that is taken, or all, cannot be used. */
type Tried = { readonly faults: readonly Fault[] } & (
  | { readonly draft?: never }
  | { readonly draft: Draft; readonly spec: Spec; readonly offer: Offer }
)

/** The first offer that can be used; else why none can. */
const choose = (offers: readonly Offer[], given: Draft["given"], wishes: Wishes): Tried => {
  const faults: Fault[] = []
  for (const each of offers) {
    faults.push(...each.offer.faults)
    if (each.offer.faults.length > 0) continue
    const draft = new Draft(given)
    const spec = "identifier" in each.offer ? addOffer(draft, each.offer, wishes) : addRemote(draft, each.offer, wishes)
    if (draft.faults.length === 0) return { draft, spec, offer: each, faults }
    faults.push(...draft.faults)
  }
  return { faults }
}

/** What the caller must know of the offers that were not taken, since it may have counted on one of them. */
const skippedOf = (faults: readonly Fault[], taken: Offer["offer"]): readonly Fault[] =>
  faults.map(({ path, detail }) => ({ path, detail: `${detail}; the ${offerText(taken)} was taken instead` }))

/**
 * Makes the spec of a target of a document, or says why none can be made of it: pointers to what cannot be used, or to the
 * inputs that are missing in `arguments`. Never throws; takes time linear in the document.
 */
export const fromServerJson = (
  document: unknown,
  { prefer, arguments: given, ...wishes }: Request,
): Conversion | { readonly refusals: readonly Remark[] } => {
  const digest = documentDigest(document)
  if (digest === undefined)
    return { refusals: [{ pointer: "/server_json", detail: "is nested deeper than 64 levels" }] }
  const [read, inputs] = [readDocument(document), readGiven(given)]
  if (read.faults.length > 0) return { refusals: remarksIn(document, read.faults) }
  if (inputs.faults.length > 0) return { refusals: remarksOf(inputs.faults) }
  const offers = offersOf(read, prefer)
  if (offers.length === 0) return { refusals: remarksIn(document, [nothingOf(prefer, read)]) }
  const tried = choose(offers, inputs.given, wishes)
  if (tried.draft === undefined) return { refusals: remarksIn(document, tried.faults) }
  const { draft, spec, offer } = tried
  const wanted = [...draft.wanted, ...unusedOf(draft, offer.offer)]
  if (wanted.length > 0) return { refusals: remarksOf(wanted) }
  const fields = draft.fields()
  return {
    spec: { ...spec, ...fields },
    provenance: JSON.stringify({ name: shown(read.name), version: shown(read.version), sha256: digest }),
    // the target is of another package, or of somebody else's server, than the document offers first
    warnings: remarksIn(document, [...skippedOf(tried.faults, offer.offer), ...draft.warnings]),
    originOf: (field) => {
      const place = findOrigin(draft.origins, field)
      return place === undefined ? undefined : below(document, place)
    },
  }
}
