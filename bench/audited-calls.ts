/** Counts a role's calls in the API server's audit log. */
import { type AuditEntry, callText, readEntries } from "../test/kubernetes/support/audit.ts"

/** Whose calls are counted. */
export type Caller = {
  /** Path of the audit log. */
  readonly auditLog: string
  /** Name of the role's user. */
  readonly user: string
  /** Calls in namespaces whose name begins with this are counted. */
  readonly namespace: string
}

/** Which calls count. */
export type Span = {
  /** From when to when; milliseconds since the epoch. */
  readonly from: number
  readonly to?: number
  /** True: only those in the namespace of exactly this name. A gateway reads its session keys in its own each minute. */
  readonly exactly?: boolean
}

/** Number of calls by verb and resource, e.g. `list pods`; a refused one has its code, e.g. `create pods (409)`. */
export type Calls = ReadonlyMap<string, number>

const textOf = (entry: AuditEntry): string => {
  const code = entry.responseStatus?.code ?? 0
  return code >= 300 ? `${callText(entry)} (${code})` : callText(entry)
}

/** The calls of a role in a span of time. */
export const auditedCalls = async (
  { auditLog, user, namespace }: Caller,
  { from, to = Infinity, exactly = false }: Span,
): Promise<Calls> => {
  const counts = new Map<string, number>()
  for (const entry of await readEntries(auditLog, { from, holding: [`"${user}"`] })) {
    const { namespace: where = "" } = entry.objectRef ?? {}
    if (entry.user.username !== user || !(exactly ? where === namespace : where.startsWith(namespace))) continue
    if (Date.parse(entry.requestReceivedTimestamp) > to) continue
    const call = textOf(entry)
    counts.set(call, (counts.get(call) ?? 0) + 1)
  }
  return counts
}

/** Reads, and the Leases by which roles tell that they live. */
const isWrite = (call: string): boolean => !/^(get|list|watch) | leases\b/.test(call)

const total = (calls: Calls, counts: (call: string) => boolean): number =>
  [...calls].reduce((before, [call, count]) => (counts(call) ? before + count : before), 0)

/** Number of writes, refused ones among them; those of Leases are left out. */
export const writesIn = (calls: Calls): number => total(calls, isWrite)

/** Number of calls without those on Leases, and without watches, which the API server ends every few minutes. */
export const callsIn = (calls: Calls): number => total(calls, (call) => !/^watch | leases\b/.test(call))

/** The counts as a text. */
export const listed = (calls: Calls): string =>
  [...calls]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([call, count]) => `${count} ${call}`)
    .join(", ") || "none"
