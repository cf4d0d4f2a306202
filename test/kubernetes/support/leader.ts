/** Who leads among operators, and how leadership is given back. */
import { expect } from "vitest"
import type { Lease } from "../../../src/api/kinds/kubernetes.ts"
import type { Reflection } from "../../../src/ports/cluster.ts"
import { waitFor } from "./cluster.ts"
import { type RoleLine, type RoleProcess, sample } from "./role.ts"

/** When a line was logged, in milliseconds since the epoch. */
export const timeOf = ({ time }: RoleLine): number => Date.parse(String(time))

/** True while an operator says that it leads. */
export const isLeading = async (role: RoleProcess): Promise<boolean> =>
  (await sample(role, 'leader_election_master_status{name="reflow-operator"}')) === 1

/** Ends the leader in order; resolves with the milliseconds until its Lease was free, once it has ended with code 0. */
export const release = async (leases: Reflection<Lease>, leader: RoleProcess): Promise<number> => {
  const holder = (): string => leases.get("reflow-operator")?.spec?.holderIdentity ?? ""
  await waitFor(leases, () => holder() !== "" || undefined, 30_000, "somebody holds the Lease")
  const since = performance.now()
  leader.process.kill("SIGTERM")
  await waitFor(leases, () => holder() === "" || undefined, 30_000, "the Lease is free")
  const ms = performance.now() - since
  expect(await leader.ended).toBe(0)
  return ms
}
