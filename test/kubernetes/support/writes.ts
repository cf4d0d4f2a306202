import type { RoleProcess } from "./role.ts"

/** Writes of a role so far, Leases left out, by its own metrics: only a Lease is replaced (PUT). */
export const countWrites = async (role: RoleProcess): Promise<number> => {
  const { text } = await role.probe("/metrics")
  const samples = text.matchAll(/^rest_client_requests_total\{method="(?:POST|PATCH|DELETE)",code="[^"]*"\} (\d+)$/gm)
  return [...samples].reduce((sum, [, count]) => sum + Number(count), 0)
}
