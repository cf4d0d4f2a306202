import { KubeConfig } from "@kubernetes/client-node"
import { Agent, type buildConnector, type Dispatcher, ProxyAgent } from "undici"
import { AppError } from "../../errors.ts"

/** What the library derives from a kubeconfig: agent or proxy to reach the API server, and the TLS material. */
type Derived = ReturnType<KubeConfig["createDispatcherOptions"]>

/** Connections for one set of TLS material; watches have their own, so that they leave room for calls. */
type Pool = { readonly call: Dispatcher; readonly watch: Dispatcher }

/** The connections to one API server. */
type Pools = {
  /** The connections for this TLS material: the same ones until it changes, e.g. because a certificate was renewed. */
  pick(derived: Derived): Pool
  /** Replaces the connections for calls if `suspect` is the current one. Calls under way keep theirs. */
  renew(suspect: Dispatcher): void
  /** Ends all connections at once. */
  close(): Promise<void>
}

/** The library derives node:tls options; undici takes the same ones under a type of its own. */
type TLSOptions = buildConnector.BuildOptions

/** Most calls at a time; further calls are queued. */
const callConnections = 8
const connectMs = 5_000

/**
 * HTTP/1.1: with HTTP/2 one broken connection would end all calls and watches. undici's timeouts are off, because calls
 * and watches set their own. Idle connections are closed before an API server or load balancer would close them.
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

/** Makes the pools. Connects nothing yet. */
const createPools = (): Pools => {
  /** Replaced agents: they get no new requests and are removed when their last request has ended. */
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

/** Which connections a request uses. */
export type Use = "call" | "watch"

/** Headers and connections for one request. */
type Credentials = {
  readonly headers: Readonly<Record<string, string>>
  readonly dispatcher: Dispatcher
}

/** How to reach the API server and authenticate to it. */
export type Connection = {
  /** Origin and base path of the API server, without a trailing slash. */
  readonly server: string
  /**
   * The namespace of this process's Pod, or of the kubeconfig's current context; undefined if the context names none.
   */
  readonly namespace: string | undefined
  /**
   * Current headers and connections. The library reads token and certificate files again when they are a minute old.
   */
  authenticate(use: Use): Promise<Credentials>
  /** Reads the kubeconfig or the Pod's service account again. For use after a 401. Throws `ConfigInvalid`. */
  reload(): void
  /** Replaces the connections for calls if `suspect`, which may be broken without an error, is the current one. */
  reconnect(suspect: Dispatcher): void
  close(): Promise<void>
}

/** The URL without slashes at its end, since each path begins with one. */
const withoutSlashes = (url: string): string => {
  let end = url.length
  while (url.endsWith("/", end)) end--
  return url.slice(0, end)
}

/** The part of a request context that the library calls to authenticate a request. */
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
  // the library's result if the variables KUBERNETES_SERVICE_HOST and _PORT, which every Pod has, are not set
  if (kubeconfig === "" && cluster.server.includes("//undefined:"))
    throw invalid(" is empty, and this is no Pod: name a kubeconfig, or use --role dev.")
  if (!URL.canParse(cluster.server)) throw invalid(`: '${cluster.server}' is no URL of an API server.`)
  if (cluster.proxyUrl?.startsWith("socks")) throw invalid(": a socks proxy-url is not supported.")
  if (cluster.server.startsWith("http:") && !cluster.skipTLSVerify)
    throw invalid(": a server without TLS needs insecure-skip-tls-verify.")
  return config
}

/**
 * Loads a kubeconfig whose requests get their connections from `pools`. Without this, the library makes a dispatcher,
 * and so a TLS connection, for each request. Overriding its private method is the only way to change that.
 */
const loadPooled = (kubeconfig: string, pools: Pools): KubeConfig => {
  const config = load(kubeconfig)
  const createDispatcher: KubeConfig["createDispatcherOptions"] extends (...args: infer A) => unknown
    ? (...args: A) => unknown
    : never = (cluster, options) => pools.pick(config.createDispatcherOptions(cluster, options))
  Object.assign(config, { createDispatcher })
  return config
}

/**
 * Opens a kubeconfig (a path), or with `""` the Pod's service account. Throws `ConfigInvalid`. Connects at the first
 * call.
 */
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
