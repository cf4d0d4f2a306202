import type { KubeConfig } from "@kubernetes/client-node"
import { Agent, type buildConnector, type Dispatcher, ProxyAgent } from "undici"

/** What the library derives from a kubeconfig: the way to the API server and the TLS material. */
export type Derived = ReturnType<KubeConfig["createDispatcherOptions"]>

/** Connections for one set of TLS material. */
export type Pool = { readonly call: Dispatcher; readonly watch: Dispatcher }

/** The connections to one API server. */
export type Pools = {
  /** The connections for this TLS material: the same ones until it changes, e.g. because a certificate was renewed. */
  pick(derived: Derived): Pool
  /** Lets the next calls have new connections if they still get `suspect`. Calls under way go on. */
  renew(suspect: Dispatcher): void
  /** Ends all connections at once. */
  close(): Promise<void>
}

/** The library derives node:tls options; undici takes the same ones under a type of its own. */
type TLSOptions = buildConnector.BuildOptions

/** More calls than this at a time wait for each other. */
const callConnections = 8
const connectMs = 5_000

/**
 * HTTP/1.1: with HTTP/2 one dead connection would be the end of every call and watch. No clocks of undici's: calls and
 * watches set their own bounds. Idle connections end before any API server or load balancer ends them.
 */
const agentOptions = { allowH2: false, headersTimeout: 0, bodyTimeout: 0, keepAliveTimeout: 30_000 }

const makeAgent = (derived: Derived, connections?: number): Dispatcher => {
  const options = connections === undefined ? agentOptions : { ...agentOptions, connections }
  if (derived.type === "proxy") {
    const requestTls = { ...(derived.requestTls as TLSOptions), timeout: connectMs }
    return new ProxyAgent({ ...options, uri: derived.uri, requestTls })
  }
  const tls = derived.type === "agent" ? (derived.connect as TLSOptions) : {}
  return new Agent({ ...options, connect: { ...tls, timeout: connectMs } })
}

/** Makes what keeps the connections. Nothing is connected yet. */
export const createPools = (): Pools => {
  /** Agents that get nothing new, until what they still do has ended. */
  const retired = new Set<Dispatcher>()
  let current: (Pool & { readonly key: string; readonly derived: Derived }) | undefined

  const retire = (agent: Dispatcher): void => {
    retired.add(agent)
    const forget = () => retired.delete(agent)
    agent.close().then(forget, forget)
  }
  return {
    pick: (derived) => {
      const key = JSON.stringify(derived)
      if (current?.key === key) return current
      if (current !== undefined) for (const agent of [current.call, current.watch]) retire(agent)
      current = { key, derived, call: makeAgent(derived, callConnections), watch: makeAgent(derived) }
      return current
    },
    renew: (suspect) => {
      if (current?.call !== suspect) return
      retire(current.call)
      current = { ...current, call: makeAgent(current.derived, callConnections) }
    },
    close: async () => {
      const agents = current === undefined ? [] : [current.call, current.watch]
      await Promise.all([...retired, ...agents].map((agent) => agent.destroy()))
    },
  }
}
