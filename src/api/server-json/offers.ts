/** The three ways from an offer of a document to a target's spec: a package, an image, a server elsewhere. */
import { identifierPatterns, type PackageType, packageTypes, versionPatterns } from "../kinds/package.ts"
import { remoteTransport } from "../kinds/remote.ts"
import { addArgument } from "./command-line.ts"
import type { NamedInput, PackageOffer, RemoteOffer } from "./document.ts"
import { type Draft, shown } from "./draft.ts"
import { addVariable } from "./environment.ts"
import { imageHostOf, ownRegistry } from "./registries.ts"
import { wordsOf } from "./resolve.ts"
import { addRuntimeArguments } from "./runtime.ts"
import { headerText } from "./template.ts"
import { addTransport, urlOf } from "./transport.ts"

/** A spec without defaults, in the field names of the kind. */
export type Spec = Readonly<Record<string, unknown>>

/** What the caller says besides the inputs of the document. */
export type Wishes = {
  /** Today (UTC), e.g. `2026-11-01`: packages are installed as they were at its end. */
  readonly today: string
  /** Entrypoint of an image, which no document names. */
  readonly command?: readonly string[] | undefined
}

/** Instances get their port as the variable PORT themselves. */
const withoutPort = (draft: Draft, port: number | undefined): void => {
  const at = draft.env.findIndex(({ name, value }) => name === "PORT" && value === String(port))
  if (at === -1) return
  draft.env.splice(at, 1)
  const moved = draft.origins.splice(0).flatMap((origin) => {
    const [list, index] = origin.field
    if (list !== "env" || typeof index !== "number" || index < at) return [origin]
    return index === at ? [] : [{ ...origin, field: [list, index - 1] }]
  })
  draft.origins.push(...moved)
}

/** What packages and images have alike: variables, arguments, and how they are spoken to. */
const addProcess = (draft: Draft, offer: PackageOffer) => {
  for (const variable of offer.environmentVariables) addVariable(draft, variable)
  const { bin, published } = addRuntimeArguments(draft, offer)
  for (const argument of offer.packageArguments) addArgument(draft, argument)
  const spoken = addTransport(draft, offer.transport, published)
  if (spoken !== undefined && "port" in spoken) withoutPort(draft, spoken.port)
  return { bin, spoken: spoken ?? {} }
}

const checkPackage = (draft: Draft, type: PackageType, { path, identifier, version }: PackageOffer): void => {
  if (!identifierPatterns[type].test(identifier))
    draft.fault([...path, "identifier"], `must be the name of a package of ${type}, without version`)
  if (version === undefined || version === "")
    draft.fault([...path, "version"], "is missing: a target names one exact version")
  else if (!versionPatterns[type].test(version))
    draft.fault([...path, "version"], "must be one exact version such as 1.4.2; ranges and tags are refused")
}

const addPackage = (draft: Draft, type: PackageType, offer: PackageOffer, wishes: Wishes): Spec => {
  const { path, identifier, version, registryBaseUrl } = offer
  checkPackage(draft, type, offer)
  const { bin, spoken } = addProcess(draft, offer)
  const registry = ownRegistry(type, registryBaseUrl)
  if (registry !== undefined)
    draft.warn(
      [...path, "registryBaseUrl"],
      `is where the package is installed from${type === "pypi" ? "; it must be the URL of the simple index" : ""}`,
    )
  for (const field of ["identifier", "version", "registryBaseUrl"])
    draft.origins.push({ field: ["package", field], place: [...path, field] })
  draft.origins.push({ field: ["package"], place: path })
  return {
    package: {
      registryType: type,
      identifier,
      version,
      before: wishes.today,
      ...(registry === undefined ? {} : { registryBaseUrl: registry }),
      ...(bin === undefined ? {} : { bin }),
    },
    ...(wishes.command === undefined ? {} : { command: wishes.command }),
    ...spoken,
  }
}

/** An image's reference: host or none, names, tag, digest (github.com/distribution/reference, reference.go). */
const imagePattern =
  /^[A-Za-z0-9][A-Za-z0-9.-]{0,252}(:[0-9]{1,5})?(\/[a-z0-9][a-z0-9._-]{0,127}){0,8}(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?$/

const hasHost = (identifier: string): boolean => {
  const [first = "", second] = identifier.split("/", 2)
  return second !== undefined && (first.includes(".") || first.includes(":") || first === "localhost")
}

/** True if the last part of the reference has a tag or a digest. */
const isPinned = (identifier: string): boolean =>
  identifier.includes("@") || identifier.slice(identifier.lastIndexOf("/") + 1).includes(":")

/** The whole reference. Documents before 2025-10 have the registry and the tag in fields of their own. */
const imageOf = (draft: Draft, { path, identifier, version, registryBaseUrl }: PackageOffer): string => {
  const isWhole = hasHost(identifier) || registryBaseUrl === undefined || registryBaseUrl === ""
  const host = isWhole ? undefined : imageHostOf(registryBaseUrl)
  if (!isWhole && host === undefined) draft.fault([...path, "registryBaseUrl"], "must be https and a host")
  const named = host === undefined ? identifier : `${host}/${identifier}`
  if (!isPinned(identifier) && (version === undefined || version === ""))
    draft.fault([...path, "identifier"], "has neither tag nor digest, and the package no version")
  const end = isPinned(identifier) ? "" : version?.startsWith("sha256:") === true ? `@${version}` : `:${version}`
  const image = `${named}${end}`
  if (!imagePattern.test(image)) draft.fault([...path, "identifier"], "must be the reference of an image")
  if (image.endsWith(":latest"))
    draft.warn([...path, "identifier"], "has the tag latest: what it means changes under your users")
  return image
}

const noCommand =
  "is an image that speaks stdin and stdout: give its command, which no document names (docker inspect shows it)"

const addImage = (draft: Draft, offer: PackageOffer, { command }: Wishes): Spec => {
  const image = imageOf(draft, offer)
  const { spoken } = addProcess(draft, offer)
  if ("stdio" in spoken && (command === undefined || command.length === 0)) draft.fault(offer.path, noCommand)
  draft.origins.push({ field: ["image"], place: [...offer.path, "identifier"] })
  return { image, ...(command === undefined ? {} : { command }), ...spoken }
}

const notRun: ReadonlyMap<string, string> = new Map([
  ["nuget", "packages of nuget cannot be run: only npm, pypi and oci"],
  ["mcpb", "bundles are for desktop clients, and cannot be run: only npm, pypi and oci"],
])

/** Reads a package into the draft. The spec is of use only if the draft has no faults. */
export const addOffer = (draft: Draft, offer: PackageOffer, wishes: Wishes): Spec => {
  const type = packageTypes.find((each) => each === offer.registryType)
  if (type !== undefined) return addPackage(draft, type, offer, wishes)
  if (offer.registryType === "oci") return addImage(draft, offer, wishes)
  draft.fault([...offer.path, "registryType"], notRun.get(offer.registryType) ?? "must be npm, pypi or oci")
  return {}
}

const headerOf = (draft: Draft, header: NamedInput): readonly { name: string; value: string }[] => {
  if (header.name === "") return draft.fault([...header.path, "name"], "is required") ?? []
  const [pieces] = wordsOf(draft, header, header.name, "header")
  return pieces === undefined ? [] : [{ name: header.name, value: headerText(pieces) }]
}

/** Reads a server that somebody else runs into the draft. */
export const addRemote = (draft: Draft, offer: RemoteOffer, { command }: Wishes): Spec => {
  const { path, type } = offer
  if (type !== remoteTransport)
    draft.fault(
      [...path, "type"],
      type === "sse" ? "MCP has deprecated sse, and the gateway does not speak it" : `must be ${remoteTransport}`,
    )
  const url = urlOf(draft, offer) ?? ""
  const headers: { name: string; value: string }[] = []
  for (const header of offer.headers)
    for (const made of headerOf(draft, header)) {
      draft.origins.push({ field: ["remote", "headers", headers.length], place: header.path })
      headers.push(made)
    }
  draft.origins.push(
    { field: ["remote", "url"], place: [...path, "url"] },
    { field: ["remote", "headers"], place: [...path, "headers"] },
    { field: ["remote"], place: path },
  )
  return {
    transportType: remoteTransport,
    ...(command === undefined ? {} : { command }),
    remote: { url, ...(headers.length === 0 ? {} : { headers }) },
  }
}

/** What an offer is called in a message, e.g. `npm package @x/mcp`. */
export const offerText = (offer: PackageOffer | RemoteOffer): string =>
  "identifier" in offer ? `${shown(offer.registryType, 16)} package ${shown(offer.identifier, 80)}` : "remote server"
