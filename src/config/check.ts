import type { z } from "zod"
import { type PackageType, packageTypes } from "../api/kinds/package.ts"
import { suggestion } from "../api/nearest.ts"
import { AppError } from "../errors.ts"
import { type KeyNode, keyAt, leafKeys, type Path, pathText } from "./key-tree.ts"
import { isTree, type Layer, type Problem } from "./layer.ts"
import { type Config, configSchema, type Role } from "./schema.ts"

const toPath = (path: readonly PropertyKey[]): Path => path.map((part) => (typeof part === "symbol" ? "" : part))

const valueAt = (root: unknown, path: Path): unknown => {
  let value = root
  for (const part of path) {
    if (Array.isArray(value) && typeof part === "number") value = value[part]
    else if (isTree(value) && Object.hasOwn(value, part)) value = value[part]
    else return undefined
  }
  return value
}

/**
 * The end of a message, e.g. `, not "5 minutes"`. Shows only single values of keys that are not secret: cut after 80
 * characters, without the user and password of a URL.
 */
const notThis = (value: unknown, node: KeyNode | undefined): string => {
  if (value === null) return ", not empty"
  if (Array.isArray(value)) return node?.allowed.includes("a list") ? "" : ", not a list"
  if (typeof value === "object") return ", not a map of keys"
  const printable = typeof value === "string" || typeof value === "number" || typeof value === "boolean"
  if (!printable || node === undefined || node.secret || node.shape !== "value") return ""
  const text = JSON.stringify(value).replace(/\/\/[^/@\s]*@/g, "//…@")
  return `, not ${text.length > 80 ? `${text.slice(0, 80)}…` : text}`
}

/** Keys that an unknown key may have meant: those of the same name in any section, else all keys of its own section. */
const candidates = (name: string, parent: KeyNode | undefined): readonly string[] => {
  const elsewhere = [...leafKeys.keys()].filter((key) => key.endsWith(`.${name}`))
  return elsewhere.length > 0 ? elsewhere : [...(parent?.children.keys() ?? [])]
}

const unknownKey = (name: string, parent: Path, layer: Layer): Problem => {
  const path = [...parent, name]
  const found = candidates(name, keyAt(parent))
  const meant =
    found.length === 1 && found[0]?.endsWith(`.${name}`) ? `; did you mean ${found[0]}?` : suggestion(name, found)
  return { source: layer.sourceOf(path), key: pathText(path), message: `unknown key${meant}` }
}

/** The path of the key that describes `path`: its own, or the key above for an item of a text-or-list value. */
const describedPath = (path: Path): Path => {
  const above = path.slice(0, -1)
  return keyAt(path) === undefined && keyAt(above)?.shape === "value" ? above : path
}

const toProblems = (issue: z.core.$ZodIssue, layer: Layer): readonly Problem[] => {
  const path = describedPath(toPath(issue.path))
  if (issue.code === "unrecognized_keys") return issue.keys.map((name) => unknownKey(name, path, layer))
  const value = valueAt(layer.values, path)
  const node = keyAt(path)
  const rule = issue.message.startsWith("must ") ? issue.message : `must be ${node?.allowed ?? "another value"}`
  const message = value === undefined ? `is missing; it ${rule}` : `${rule}${notThis(value, node)}`
  return [{ source: layer.sourceOf(path), key: pathText(path), message }]
}

/** All problems of one layer, sorted by source. Every key can be absent, so each layer must be valid alone. */
export const checkLayer = (layer: Layer): readonly Problem[] => {
  const result = configSchema.safeParse(layer.values)
  const issues = result.success ? [] : result.error.issues.flatMap((issue) => toProblems(issue, layer))
  return [...layer.problems, ...issues].sort((left, right) =>
    left.source.localeCompare(right.source, "en", { numeric: true }),
  )
}

/** `reflow.yaml:12: kubernetes.idle_ttl: must be …`. */
export const problemText = (problem: Problem): string =>
  [problem.source, problem.key, problem.message].filter((part) => part !== "").join(": ")

/** A `ConfigInvalid` error that lists every problem of `subject`, one per line, and has them as `data.problems`. */
export const configError = (problems: readonly Problem[], subject = "the configuration"): AppError => {
  const count = problems.length === 1 ? "A problem" : `${problems.length} problems`
  const lines = problems.map((problem) => `  ${problemText(problem)}`)
  return new AppError("ConfigInvalid", {
    detail: [`${count} in ${subject}:`, ...lines].join("\n"),
    data: { problems },
  })
}

/** A problem that concerns several keys together, and the key to report it at. */
type Finding = { readonly path: Path; readonly message: string }

type Issuer = Config["auth"]["issuers"][number]

/** Finds at most one problem; undefined if there is none. */
type Rule = (config: Config, role: Role | undefined) => Finding | undefined

const isUrl = (text: string): boolean => /^https?:\/\//.test(text) && URL.canParse(text)

/** A rule that reports the first issuer for which `isWrong` holds. */
const each =
  (key: keyof Issuer, message: string, isWrong: (issuer: Issuer, gateway: Config["gateway"]) => boolean): Rule =>
  ({ auth, gateway }) => {
    const index = auth.issuers.findIndex((issuer) => isWrong(issuer, gateway))
    return index < 0 ? undefined : { path: ["auth", "issuers", index, key], message }
  }

/** Discovery needs a URL: for an issuer that is only a name, the URL of its signing keys must be configured. */
const keysCanBeFound = each(
  "jwks_url",
  "is missing; it must be given where the issuer is no http(s) URL",
  ({ issuer, jwks_url: keys }) => keys === "" && !isUrl(issuer),
)

const opensTargets = (audience: string, { public_url: url }: Config["gateway"]): boolean =>
  url !== "" && (audience === url || audience === `${url}/` || audience.startsWith(`${url}/mcp/`))

/** A token that a client got for MCP endpoints must not be usable at the REST API. */
const apartForApi = each(
  "api_audiences",
  "must differ from the audiences of MCP endpoints: tokens for tools must not be accepted at the REST API",
  ({ audiences, api_audiences: api }, gateway) =>
    api.some((audience) => audiences.includes(audience) || opensTargets(audience, gateway)),
)

const apartForTargets = each(
  "audiences",
  "must not contain the public URL's /api, which is the audience of the REST API",
  ({ audiences }, { public_url: url }) => url !== "" && audiences.includes(`${url}/api`),
)

const loopback = /^http:\/\/(localhost|127\.0\.0\.1|\[::1\])[:/]/

const isOpen = (url: string): boolean => url.startsWith("http:") && !loopback.test(`${url}/`)

const safeKeys = each(
  "issuer",
  "is reached over plain http: an attacker on the network can replace its signing keys and then act as any user",
  ({ issuer, jwks_url: keys }) => isOpen(keys === "" ? issuer : keys),
)

const knownUrl: Rule = ({ auth, gateway }, role) => {
  if (auth.issuers.length === 0 || gateway.public_url !== "" || role === "operator" || role === "dev") return undefined
  return {
    path: ["gateway", "public_url"],
    message: "is empty: issuers' tokens must then be for http://localhost:PORT, and clients cannot find the issuer",
  }
}

/** Rules over several keys of an issuer: a finding stops the start. */
const issuerErrors: readonly Rule[] = [keysCanBeFound, apartForApi, apartForTargets]

/** Rules over several keys of an issuer: a finding is logged as a warning. */
const issuerDoubts: readonly Rule[] = [safeKeys, knownUrl]

/** Findings of all rules: problems stop the start, warnings are logged. */
type Verdict = { readonly problems: readonly Problem[]; readonly warnings: readonly Problem[] }

/** Request timeout that MCP clients usually have, milliseconds. */
const clientPatienceMs = 60_000

const clusterNeeded: Rule = ({ kubernetes }, role) => {
  if (kubernetes.enabled || role === undefined || role === "dev") return undefined
  return {
    path: ["kubernetes", "enabled"],
    message: `must be true for --role ${role}; without a cluster use --role dev`,
  }
}

const embeddedAnyway: Rule = ({ kubernetes }, role) => {
  if (!kubernetes.enabled || role !== "dev") return undefined
  return { path: ["kubernetes", "enabled"], message: "is true, but --role dev always runs the embedded cluster" }
}

/** How many of the largest bodies gateway.max_held must have room for: one caller gets a quarter, so two bodies. */
const leastBodies = 8
/** Largest body of the REST API, bytes; see admin/json-body.ts. */
const largestOfRest = 2 ** 20

const roomForBodies: Rule = ({ gateway }) => {
  if (gateway.max_held >= leastBodies * Math.max(gateway.max_body, largestOfRest)) return undefined
  const message = "must be at least 8MiB and 8 times gateway.max_body: one caller gets a quarter of it at most"
  return { path: ["gateway", "max_held"], message }
}

const onePort: Rule = ({ gateway, metrics }) => {
  if (metrics.listen === undefined || metrics.listen.endsWith(":0") || metrics.listen !== gateway.listen)
    return undefined
  return { path: ["metrics", "listen"], message: "must differ from gateway.listen" }
}

const patientHold: Rule = ({ kubernetes }) => {
  if (kubernetes.hold_timeout <= clientPatienceMs) return undefined
  return {
    path: ["kubernetes", "hold_timeout"],
    message: "is longer than 60s, after which many MCP clients give up",
  }
}

const lifetimeBeyondIdle: Rule = ({ kubernetes }) => {
  if (kubernetes.max_lifetime >= kubernetes.idle_ttl) return undefined
  return {
    path: ["kubernetes", "max_lifetime"],
    message: "is shorter than kubernetes.idle_ttl, which then has no effect",
  }
}

const adminRoles: Rule = ({ auth }) =>
  auth.admin_roles.length > 0
    ? undefined
    : { path: ["auth", "admin_roles"], message: "is empty: nobody can use the administrative part of the REST API" }

/** Credentials go to the registry that is named with them, and to no other: without one there is nowhere to send them. */
const namedRegistry =
  (type: PackageType): Rule =>
  ({ kubernetes }) => {
    const { registry, secret } = kubernetes.packages[type]
    if (secret === "" || registry !== "") return undefined
    return {
      path: ["kubernetes", "packages", type, "secret"],
      message: `has credentials for no registry: set kubernetes.packages.${type}.registry, or no package can be installed`,
    }
  }

/** A rule that reports the first value of a list that an earlier entry has too. */
const distinct =
  (path: Path, field: string, values: (config: Config) => readonly string[]): Rule =>
  (config) => {
    const all = values(config)
    const index = all.findIndex((value, position) => all.indexOf(value) < position)
    return index < 0 ? undefined : { path: [...path, index, field], message: "must differ from the others'" }
  }

const onePlugin: Rule = ({ plugins }) => {
  const index = plugins.findIndex(({ path, name }) => (path === undefined) === (name === undefined))
  if (index < 0) return undefined
  return { path: ["plugins", index], message: "must have either a path or a name" }
}

const errors: readonly Rule[] = [
  onePlugin,
  clusterNeeded,
  onePort,
  roomForBodies,
  distinct(["auth", "issuers"], "name", ({ auth }) => auth.issuers.map((each) => each.name)),
  distinct(["auth", "issuers"], "issuer", ({ auth }) => auth.issuers.map((each) => each.issuer)),
  distinct(["auth", "tokens"], "name", ({ auth }) => auth.tokens.map((each) => each.name)),
  distinct(["auth", "tokens"], "sha256", ({ auth }) => auth.tokens.map((each) => each.sha256)),
  distinct(["kubernetes", "packages", "registries"], "url", ({ kubernetes }) =>
    kubernetes.packages.registries.map(({ url }) => url.replace(/\/$/, "")),
  ),
  ...issuerErrors,
]
const doubts: readonly Rule[] = [
  embeddedAnyway,
  patientHold,
  lifetimeBeyondIdle,
  adminRoles,
  ...packageTypes.map(namedRegistry),
  ...issuerDoubts,
]

/** Checks the rules that concern several keys together, or the role. `sourceOf` gives the place to report. */
export const checkTogether = (config: Config, role: Role | undefined, sourceOf: Layer["sourceOf"]): Verdict => {
  const apply = (rules: readonly Rule[]): readonly Problem[] =>
    rules.flatMap((rule) => {
      const found = rule(config, role)
      if (found === undefined) return []
      return [{ source: sourceOf(found.path), key: pathText(found.path), message: found.message }]
    })
  return { problems: apply(errors), warnings: apply(doubts) }
}
