/** All peers, in the order in which they are measured. */
import { contextForge } from "./contextforge.ts"
import { fastmcp } from "./fastmcp.ts"
import { mcpProxy, supergateway } from "./npm-peers.ts"
import type { Peer } from "./peer.ts"
import { thvProxy, vmcp } from "./toolhive.ts"

export const roster: readonly Peer[] = [thvProxy, vmcp, mcpProxy, supergateway, fastmcp, contextForge]

/** The peers with these names; all of them if there are none. Throws if a name is of no peer. */
export const choosePeers = (names: readonly string[]): readonly Peer[] => {
  const unknown = names.find((name) => !roster.some((peer) => peer.name === name))
  if (unknown !== undefined) {
    throw new Error(`there is no peer "${unknown}"; there are: ${roster.map(({ name }) => name).join(", ")}`)
  }
  return names.length === 0 ? roster : roster.filter(({ name }) => names.includes(name))
}
