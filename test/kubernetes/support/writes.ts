import { gatewaysLeaseName } from "../../../src/adapters/kube/access.ts"
import { leaseKind } from "../../../src/api/kinds/kubernetes.ts"
import { openCluster, readAudit } from "./cluster.ts"
import type { RoleProcess } from "./role.ts"

/**
 * Writes of a role so far, by its own metrics. An operator's Lease is left out: only that is replaced (PUT). A gateway's
 * word that it lives is in: see {@link followPresence}.
 */
export const countWrites = async (role: RoleProcess): Promise<number> => {
  const { text } = await role.probe("/metrics")
  const samples = text.matchAll(/^rest_client_requests_total\{method="(?:POST|PATCH|DELETE)",code="[^"]*"\} (\d+)$/gm)
  return [...samples].reduce((sum, [, count]) => sum + Number(count), 0)
}

/** Counts from now on how often gateways have written into the Lease that says that they live. */
export const followPresence = async (own: string): Promise<() => number> => {
  const leases = openCluster("test").watch(leaseKind, { namespace: own })
  await leases.synced
  let count = 0
  leases.subscribe(({ object }) => {
    if (object.metadata.name === gatewaysLeaseName) count += 1
  })
  return () => count
}

/**
 * What the API server's audit log says of writes of our roles in a namespace since a moment, Leases left out; empty if the
 * cluster keeps no log.
 */
export const auditedWrites = async (namespace: string, since: number): Promise<string[]> =>
  ((await readAudit(namespace)) ?? [])
    .filter(({ user }) => /:reflow-(operator|gateway)$/.test(user.username))
    .filter(({ verb, objectRef }) => !["get", "list", "watch"].includes(verb) && objectRef?.resource !== "leases")
    .filter(({ requestReceivedTimestamp }) => Date.parse(requestReceivedTimestamp) >= since)
    .map(({ user, verb, objectRef }) =>
      [user.username.split("-").at(-1), verb, objectRef?.resource, objectRef?.subresource, objectRef?.name].join(" "),
    )
