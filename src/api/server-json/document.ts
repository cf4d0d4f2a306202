/**
 * What is read of a server.json of the MCP registry (schemas 2025-09-29 and 2025-12-11, and 2025-07-09 with its
 * snake_case). https://github.com/modelcontextprotocol/registry, docs/reference/server-json
 */
import { isFields } from "../patch.ts"
import type { Fault, Path } from "./place.ts"
import { flagOf, mapOf, objectOf, objectsOf, type Source, textOf, textsOf } from "./read.ts"

/** Most packages, and most remote servers, of a document. */
const mostOffers = 20
/** Longest name of an input, in characters. */
const longestName = 256
/** Longest URL and identifier, in characters. */
const longestReference = 2_048
/** Longest description that is read, in characters. */
const longestDescription = 8_192

const formats = ["string", "number", "boolean", "filepath"] as const

/** A value that the document fixes, or that somebody is to give. */
export type Input = {
  readonly path: Path
  /** Fixed value, a template with `{names}` of variables. */
  readonly value: string | undefined
  readonly default: string | undefined
  readonly description: string | undefined
  readonly placeholder: string | undefined
  readonly isRequired: boolean
  readonly isSecret: boolean
  readonly isRepeated: boolean
  /** Undefined if the document names none. */
  readonly format: (typeof formats)[number] | undefined
  readonly choices: readonly string[] | undefined
  readonly variables: ReadonlyMap<string, Input>
}

/** An input of a header or of an environment variable, which has a name. */
export type NamedInput = Input & { readonly name: string }

/** An argument on a command line. */
export type Argument = Input & {
  readonly type: "positional" | "named"
  /** With its dashes; empty for a positional argument. */
  readonly name: string
  readonly valueHint: string | undefined
}

/** How a server is spoken to. */
export type Transport = {
  readonly path: Path
  readonly type: string
  readonly url: string | undefined
  readonly headers: readonly NamedInput[]
  readonly variables: ReadonlyMap<string, Input>
}

/** A server that somebody else runs. `faults`: what is wrong with its form. */
export type RemoteOffer = Transport & { readonly faults: Fault[] }

/** A published package. `faults`: what is wrong with its form. */
export type PackageOffer = {
  readonly path: Path
  readonly registryType: string
  readonly registryBaseUrl: string | undefined
  readonly identifier: string
  readonly version: string | undefined
  readonly runtimeHint: string | undefined
  readonly transport: Transport
  readonly runtimeArguments: readonly Argument[]
  readonly packageArguments: readonly Argument[]
  readonly environmentVariables: readonly NamedInput[]
  readonly faults: Fault[]
}

/** A document. `faults`: what is wrong with the document as a whole. */
export type ServerDocument = {
  readonly name: string
  readonly version: string
  readonly packages: readonly PackageOffer[]
  readonly remotes: readonly RemoteOffer[]
  readonly faults: readonly Fault[]
}

const formatOf = (source: Source): Input["format"] => {
  const text = textOf(source, "format")
  const format = formats.find((each) => each === text)
  if (text !== undefined && format === undefined)
    source.faults.push({ path: [...source.path, "format"], detail: `must be one of ${formats.join(", ")}` })
  return format
}

const inputOf = (source: Source, variables: ReadonlyMap<string, Source> = mapOf(source, "variables")): Input => ({
  path: source.path,
  value: textOf(source, "value"),
  default: textOf(source, "default"),
  description: textOf(source, "description", longestDescription),
  placeholder: textOf(source, "placeholder"),
  isRequired: flagOf(source, "isRequired"),
  isSecret: flagOf(source, "isSecret"),
  isRepeated: flagOf(source, "isRepeated"),
  format: formatOf(source),
  choices: textsOf(source, "choices"),
  variables: variablesOf(variables),
})

/** Variables of variables are not read: the registry knows none. */
const variablesOf = (variables: ReadonlyMap<string, Source>): ReadonlyMap<string, Input> =>
  new Map([...variables].map(([name, each]) => [name, inputOf(each, new Map())]))

const namedInputOf = (source: Source): NamedInput => ({
  ...inputOf(source),
  name: textOf(source, "name", longestName) ?? "",
})

const argumentOf = (source: Source): Argument => {
  const type = textOf(source, "type") ?? "positional"
  if (type !== "positional" && type !== "named")
    source.faults.push({ path: [...source.path, "type"], detail: "must be positional or named" })
  return {
    ...inputOf(source),
    type: type === "named" ? "named" : "positional",
    name: textOf(source, "name", longestName) ?? "",
    valueHint: textOf(source, "valueHint", longestName),
  }
}

const transportOf = (source: Source): Transport => ({
  path: source.path,
  type: textOf(source, "type") ?? textOf(source, "transportType") ?? "",
  url: textOf(source, "url", longestReference),
  headers: objectsOf(source, "headers").map(namedInputOf),
  variables: variablesOf(mapOf(source, "variables")),
})

/** Documents before 2025-08 have no transport: their packages speak stdio. */
const stdio = (path: Path): Transport => ({ path, type: "stdio", url: undefined, headers: [], variables: new Map() })

const packageOf = (source: Source): PackageOffer => {
  const transport = objectOf(source, "transport")
  return {
    path: source.path,
    registryType: textOf(source, "registryType") ?? "",
    registryBaseUrl: textOf(source, "registryBaseUrl", longestReference),
    identifier: textOf(source, "identifier", longestReference) ?? "",
    version: textOf(source, "version", longestName),
    runtimeHint: textOf(source, "runtimeHint", longestName),
    transport: transport === undefined ? stdio(source.path) : transportOf(transport),
    runtimeArguments: objectsOf(source, "runtimeArguments").map(argumentOf),
    packageArguments: objectsOf(source, "packageArguments").map(argumentOf),
    environmentVariables: objectsOf(source, "environmentVariables").map(namedInputOf),
    faults: source.faults,
  }
}

const remoteOf = (source: Source): RemoteOffer => ({ ...transportOf(source), faults: source.faults })

const nothing = (detail: string): ServerDocument => ({
  name: "",
  version: "",
  packages: [],
  remotes: [],
  faults: [{ path: [], detail }],
})

/** Reads a document. Never throws; takes time linear in its size. */
export const readDocument = (value: unknown): ServerDocument => {
  if (!isFields(value)) return nothing("must be an object: the server.json of an MCP server")
  if (isFields(value.server) && !Object.hasOwn(value, "name"))
    return nothing("is an answer of the registry's API: give its member server")
  const source: Source = { fields: value, path: [], faults: [] }
  const detail = objectOf(source, "versionDetail")
  const name = textOf(source, "name", longestName) ?? ""
  if (name === "") source.faults.push({ path: ["name"], detail: "is required" })
  return {
    name,
    version: textOf(source, "version", longestName) ?? (detail && textOf(detail, "version", longestName)) ?? "",
    packages: objectsOf(source, "packages", mostOffers, true).map(packageOf),
    remotes: objectsOf(source, "remotes", mostOffers, true).map(remoteOf),
    faults: source.faults,
  }
}
