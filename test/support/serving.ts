/**
 * How the suites that hold for every server get theirs: as a Pod that the operator makes, or as a process that somebody
 * else runs. A file that runs such a suite for the second way imports `serve-remotely.ts` before it.
 */
import { target } from "./reflow.ts"
import { type RemoteServer, remoteSpec, remoteTarget, startRemoteServer } from "./remote-peers.ts"

/** Makes targets whose servers are commands. */
export type Serving = {
  /** YAML of a target, as {@link target} makes it. Remote targets with the same command and variables share one server. */
  target(name: string, command: readonly string[], more?: Readonly<Record<string, unknown>>): Promise<string>
  /** Ends the servers that no Pod has. */
  close(): Promise<void>
}

let isRemote = false

/** From now on servers are remote ones. */
export const serveRemotely = (): void => {
  isRemote = true
}

/** True for a suite whose servers are Pods. */
export const isServedByPods = (): boolean => !isRemote

type Variable = { readonly name: string; readonly value: string }

const byPods: Serving = {
  target: async (name, command, more) => target(name, command, more),
  close: async () => {},
}

const remotely = (): Serving => {
  const servers = new Map<string, Promise<RemoteServer>>()
  const serve = (command: readonly string[], env: readonly Variable[]): Promise<RemoteServer> => {
    const key = JSON.stringify([command, env])
    const variables = Object.fromEntries(env.map(({ name, value }) => [name, value]))
    const server = servers.get(key) ?? startRemoteServer(command, variables)
    servers.set(key, server)
    return server
  }
  return {
    target: async (name, command, { env = [], ...more } = {}) => {
      const { url } = await serve(command, env as readonly Variable[])
      return remoteTarget(name, remoteSpec(url, more))
    },
    close: async () => {
      for (const server of await Promise.all(servers.values())) await server.close()
    },
  }
}

/** What makes the targets of a suite. Close it. */
export const startServing = (): Serving => (isRemote ? remotely() : byPods)
