/** What the API server's audit log tells of the two roles: which of their rights they use, and what they are denied. */

import { createReadStream } from "node:fs"
import { readdir, stat } from "node:fs/promises"
import { basename, dirname, join } from "node:path"
import { createInterface } from "node:readline"
import type { Actor, Grant } from "../../../src/adapters/kube/access.ts"
import { actorName } from "../../../src/adapters/kube/rbac.ts"

/** One call, as the API server logs it when it has ended (a watch: when it has begun). */
export type AuditEntry = {
  readonly verb: string
  readonly requestURI: string
  readonly userAgent?: string
  readonly user: { readonly username: string }
  readonly objectRef?: {
    readonly resource: string
    readonly namespace?: string
    readonly name?: string
    readonly apiGroup?: string
    readonly subresource?: string
  }
  readonly responseStatus?: { readonly code: number; readonly message?: string }
  /** RFC 3339 with microseconds. */
  readonly requestReceivedTimestamp: string
  readonly annotations?: Readonly<Record<string, string>>
}

/** Which entries are read. */
export type AuditSelection = {
  /** Not those before this moment; milliseconds since the epoch. */
  readonly from: number
  /** Only lines that hold one of these texts. */
  readonly holding: readonly string[]
}

/** The log and what was rotated away from it since `from`, e.g. `audit-2026-11-23T23-37-27.026.log`; oldest first. */
const filesOf = async (log: string, from: number): Promise<readonly string[]> => {
  const folder = dirname(log)
  const prefix = `${basename(log, ".log")}-`
  const rotated = (await readdir(folder)).filter((name) => name.startsWith(prefix) && name.endsWith(".log")).sort()
  const paths = rotated.map((name) => join(folder, name))
  const times = await Promise.all(paths.map(async (path) => (await stat(path)).mtimeMs))
  return [...paths.filter((_, index) => (times[index] ?? 0) >= from), log]
}

/** Reads the entries of an audit log, oldest first. */
export const readEntries = async (log: string, { from, holding }: AuditSelection): Promise<readonly AuditEntry[]> => {
  const entries: AuditEntry[] = []
  for (const path of await filesOf(log, from))
    for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY })) {
      if (!holding.some((text) => line.includes(text))) continue
      const entry = JSON.parse(line) as AuditEntry
      if (Date.parse(entry.requestReceivedTimestamp) >= from) entries.push(entry)
    }
  return entries
}

/** Who of the program has made a call. */
export type Caller = {
  readonly actor: Actor
  /** Namespace of its ServiceAccount, which is the role's own one. */
  readonly own: string
}

const actors: readonly Actor[] = ["operator", "gateway"]

/**
 * Which role made the call, in whatever namespace; undefined if it was none under a ServiceAccount. The program names
 * itself by its role, also as the role all; kubectl, and tests that try out a denial, do not.
 */
export const callerOf = ({ user, userAgent }: AuditEntry): Caller | undefined => {
  const [system, kind, own = ""] = user.username.split(":")
  const actor = actors.find((each) => actorName(each) === userAgent)
  return actor === undefined || system !== "system" || kind !== "serviceaccount" ? undefined : { actor, own }
}

/** Verb and resource of a call with its subresource, e.g. `patch mcpinstances/status`. */
export const callText = ({ verb, objectRef, requestURI }: AuditEntry): string => {
  if (objectRef === undefined) return `${verb} ${requestURI}`
  return `${verb} ${objectRef.resource}${objectRef.subresource === undefined ? "" : `/${objectRef.subresource}`}`
}

/** True if the API server's authorization refused it; a quota's or a policy's refusal has the same code. */
const isDenied = ({ annotations }: AuditEntry): boolean => annotations?.["authorization.k8s.io/decision"] === "forbid"

/** True if this call takes rights away: a namespace, a Role or a RoleBinding goes. */
const takesRights = ({ verb, objectRef, responseStatus }: AuditEntry): boolean =>
  verb.startsWith("delete") &&
  ["namespaces", "roles", "rolebindings"].includes(objectRef?.resource ?? "") &&
  (responseStatus?.code ?? 500) < 300

const namespaceOf = ({ objectRef }: AuditEntry): string | undefined =>
  objectRef?.resource === "namespaces" ? objectRef.name : objectRef?.namespace

/**
 * The calls of the program under a role's ServiceAccount that were denied: as text, each once. What is denied in a
 * namespace whose rights are being taken away is not told: a role that ends with its namespace loses them first.
 */
export const deniedCalls = (entries: readonly AuditEntry[]): readonly string[] => {
  const gone = new Set<string>()
  const denied = new Set<string>()
  for (const entry of entries) {
    const namespace = namespaceOf(entry) ?? ""
    if (takesRights(entry)) gone.add(namespace)
    else if (entry.verb === "create" && /^(namespaces|rolebindings)$/.test(entry.objectRef?.resource ?? ""))
      gone.delete(namespace)
    const caller = callerOf(entry)
    if (caller === undefined || !isDenied(entry) || gone.has(namespace) || gone.has(caller.own)) continue
    denied.add(`${caller.actor}: ${callText(entry)} in ${namespace || "no namespace"}`)
  }
  return [...denied].sort()
}

const usedBy = (entry: AuditEntry): readonly string[] => {
  const caller = callerOf(entry)
  const { objectRef, verb } = entry
  if (caller === undefined || objectRef === undefined || isDenied(entry)) return []
  const where = objectRef.namespace === caller.own ? "own" : "instances"
  const resource = callText(entry).slice(verb.length + 1)
  const key = [caller.actor, where, objectRef.apiGroup ?? "", resource, verb].join(" ")
  return [key, `${key} ${objectRef.name ?? ""}`]
}

/** The rights of the table that no call of the program has used: each verb, on each name that it is bound to. */
export const unusedRights = (entries: readonly AuditEntry[], grants: readonly Grant[]): readonly string[] => {
  const used = new Set(entries.flatMap(usedBy))
  return grants.flatMap(({ actor, where, group, resource, verbs, names = [undefined], unseen }) =>
    verbs
      .filter((verb) => unseen?.[verb] === undefined)
      .flatMap((verb) =>
        names.map((name) => [actor, where, group, resource, verb, ...(name === undefined ? [] : [name])]),
      )
      .map((parts) => parts.join(" "))
      .filter((right) => !used.has(right)),
  )
}
