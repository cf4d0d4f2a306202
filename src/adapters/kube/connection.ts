import { KubeConfig } from "@kubernetes/client-node"
import { Agent, type buildConnector, type Dispatcher, ProxyAgent } from "undici"
import { AppError } from "../../errors.ts"

/** What the library derives from a kubeconfig: the way to the API server and the TLS material. */
type Derived = ReturnType<KubeConfig["createDispatcherOptions"]>

/** Connections for one set of TLS material. */
type Pool = { readonly call: Dispatcher; readonly watch: Dispatcher }

/** The connections to one API server. */
type Pools = {
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
const createPools = (): Pools => {
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

/** What a request is for: watches have connections of their own, so that they leave room for calls. */
export type Use = "call" | "watch"

/** Headers and connections for one request. */
type Credentials = {
  readonly headers: Readonly<Record<string, string>>
  readonly dispatcher: Dispatcher
}

/** How to reach and convince the API server. */
export type Connection = {
  /** Origin and base path of the API server, without a trailing slash. */
  readonly server: string
  /** The namespace that this process lives in: its Pod's, or the one of the kubeconfig's context, if that names one. */
  readonly namespace: string | undefined
  /** Tokens and certificates as they are now: files are read again, at most a minute old. */
  authenticate(use: Use): Promise<Credentials>
  /** Reads the kubeconfig or the Pod's service account again, for a server that no longer takes what it says. */
  reload(): void
  /** Gives the next calls new connections if they still get `suspect`, which may be dead without saying so. */
  reconnect(suspect: Dispatcher): void
  close(): Promise<void>
}

/** The URL without slashes at its end, which would stand twice before each path. */
const withoutSlashes = (url: string): string => {
  let end = url.length
  while (url.endsWith("/", end)) end--
  return url.slice(0, end)
}

/** What the library calls on a request's context to authenticate it. */
type Context = { setHeaderParam(key: string, value: string): void; setDispatcher(dispatcher: unknown): void }

type AuthenticateArgument = Parameters<KubeConfig["applySecurityAuthentication"]>[0]

const invalid = (problem: string, cause?: unknown): AppError =>
  new AppError("ConfigInvalid", { detail: `kubernetes.kubeconfig${problem}`, cause })

const load = (kubeconfig: string): KubeConfig => {
  const config = new KubeConfig()
  try {
    if (kubeconfig === "") config.loadFromCluster()
    else config.loadFromFile(kubeconfig)
  } catch (cause) {
    throw invalid(`: cannot load ${kubeconfig === "" ? "the service account of this Pod" : kubeconfig}.`, cause)
  }
  const cluster = config.getCurrentCluster()
  if (cluster === null) throw invalid(": its current context names no cluster.")
  // what the library makes of the variables that only a Pod has
  if (kubeconfig === "" && cluster.server.includes("//undefined:"))
    throw invalid(" is empty, and this is no Pod: name a kubeconfig, or use --role dev.")
  if (!URL.canParse(cluster.server)) throw invalid(`: '${cluster.server}' is no URL of an API server.`)
  if (cluster.proxyUrl?.startsWith("socks")) throw invalid(": a socks proxy-url is not supported.")
  if (cluster.server.startsWith("http:") && !cluster.skipTLSVerify)
    throw invalid(": a server without TLS needs insecure-skip-tls-verify.")
  return config
}

/**
 * Loads a kubeconfig whose requests get their connections from `pools`. By itself the library makes a dispatcher, and
 * so a TLS connection, for each request; its private method is the only hook that it leaves.
 */
const loadPooled = (kubeconfig: string, pools: Pools): KubeConfig => {
  const config = load(kubeconfig)
  const createDispatcher: KubeConfig["createDispatcherOptions"] extends (...args: infer A) => unknown
    ? (...args: A) => unknown
    : never = (cluster, options) => pools.pick(config.createDispatcherOptions(cluster, options))
  Object.assign(config, { createDispatcher })
  return config
}

/** Opens a kubeconfig (a path), or with `""` the Pod's own service account. Throws `ConfigInvalid`; connects later. */
export const connect = (kubeconfig: string): Connection => {
  const pools = createPools()
  let config = loadPooled(kubeconfig, pools)
  const namespace = config.getContextObject(config.getCurrentContext())?.namespace?.trim()

  const authenticate = async (use: Use): Promise<Credentials> => {
    const headers: Record<string, string> = {}
    let picked: ReturnType<Pools["pick"]> | undefined
    const context: Context = {
      setHeaderParam: (key, value) => {
        headers[key] = value
      },
      setDispatcher: (value) => {
        picked = value as ReturnType<Pools["pick"]>
      },
    }
    await config.applySecurityAuthentication(context as unknown as AuthenticateArgument)
    if (picked === undefined) throw new AppError("Internal", { detail: "The kubeconfig gave no connection." })
    return { headers, dispatcher: picked[use] }
  }
  return {
    get server() {
      return withoutSlashes(config.getCurrentCluster()?.server ?? "")
    },
    namespace: namespace === "" ? undefined : namespace,
    authenticate,
    reload: () => {
      config = loadPooled(kubeconfig, pools)
    },
    reconnect: pools.renew,
    close: pools.close,
  }
}
