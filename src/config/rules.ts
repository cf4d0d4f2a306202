import { issuerDoubts, issuerErrors, type Rule } from "./issuer-rules.ts"
import { type Path, pathText } from "./keys.ts"
import type { Layer, Problem } from "./layer.ts"
import type { Config } from "./schema.ts"

/** What one process does. */
export const roles = ["gateway", "operator", "all", "dev"] as const
export type Role = (typeof roles)[number]

/** What the keys say together: problems stop the start, warnings are logged. */
export type Verdict = { readonly problems: readonly Problem[]; readonly warnings: readonly Problem[] }

/** Time after which MCP clients give up a request by themselves. */
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

/** Least number of largest bodies that all bodies together have room for: one caller alone gets a quarter, which is two. */
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
  return { path: ["kubernetes", "hold_timeout"], message: "is longer than the 60s after which MCP clients give up" }
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

/** The first repeated value of a list, as a rule. */
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
  ...issuerErrors,
]
const doubts: readonly Rule[] = [embeddedAnyway, patientHold, lifetimeBeyondIdle, adminRoles, ...issuerDoubts]

/** Checks what no key can say alone. */
export const checkTogether = (config: Config, role: Role | undefined, sourceOf: Layer["sourceOf"]): Verdict => {
  const apply = (rules: readonly Rule[]): readonly Problem[] =>
    rules.flatMap((rule) => {
      const found = rule(config, role)
      if (found === undefined) return []
      return [{ source: sourceOf(found.path), key: pathText(found.path), message: found.message }]
    })
  return { problems: apply(errors), warnings: apply(doubts) }
}
