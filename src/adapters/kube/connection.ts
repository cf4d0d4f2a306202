import { KubeConfig } from "@kubernetes/client-node"
import { Agent, type buildConnector, type Dispatcher, ProxyAgent } from "undici"
import { AppError } from "../../errors.ts"

/** How to reach and convince the API server. */
export type Connection = {
  /** Origin and base path of the API server, without a trailing slash. */
  readonly server: string
  /** Headers and the shared dispatcher for one request; tokens are refreshed by the library. */
  authenticate(): Promise<{ readonly headers: Readonly<Record<string, string>>; readonly dispatcher: Dispatcher }>
  close(): Promise<void>
}

/** The library derives node:tls options; undici takes the same ones under a type of its own. */
type TLSOptions = buildConnector.BuildOptions

/** What client-node calls on a request context to authenticate it. */
type Context = { setHeaderParam(key: string, value: string): void; setDispatcher(dispatcher: unknown): void }

const load = (kubeconfig: string): KubeConfig => {
  const config = new KubeConfig()
  try {
    if (kubeconfig === "") config.loadFromCluster()
    else config.loadFromFile(kubeconfig)
  } catch (cause) {
    const where = kubeconfig === "" ? "the service account of this Pod" : kubeconfig
    throw new AppError("ConfigInvalid", { detail: `kubernetes.kubeconfig: cannot load ${where}.`, cause })
  }
  if (config.getCurrentCluster() === null) {
    throw new AppError("ConfigInvalid", { detail: "kubernetes.kubeconfig: its current context names no cluster." })
  }
  return config
}

/** Connections stay for the API server's answers, not for a clock of ours: calls and watches set their own bounds. */
const agentOptions = { headersTimeout: 0, bodyTimeout: 0, keepAliveTimeout: 30_000 }

/**
 * Makes one dispatcher for each set of TLS material instead of one for each request, which client-node does by itself:
 * a new TLS connection per call. Keyed by what the library derived from the kubeconfig, so rotated material gets a new one.
 */
const memoisedDispatchers = (config: KubeConfig): Map<string, Dispatcher> => {
  const dispatchers = new Map<string, Dispatcher>()
  const make = (options: ReturnType<KubeConfig["createDispatcherOptions"]>): Dispatcher => {
    if (options.type === "proxy") {
      return new ProxyAgent({ ...agentOptions, uri: options.uri, requestTls: options.requestTls as TLSOptions })
    }
    if (options.type === "socks") {
      throw new AppError("ConfigInvalid", { detail: "kubernetes.kubeconfig: a socks proxy-url is not supported." })
    }
    if (options.type === "none") return new Agent(agentOptions)
    return new Agent({ ...agentOptions, connect: { ...(options.connect as TLSOptions), timeout: 5_000 } })
  }
  const createDispatcher: KubeConfig["createDispatcherOptions"] extends (...args: infer A) => unknown
    ? (...args: A) => Dispatcher
    : never = (cluster, options) => {
    const derived = config.createDispatcherOptions(cluster, options)
    const key = JSON.stringify(derived)
    const known = dispatchers.get(key) ?? make(derived)
    dispatchers.set(key, known)
    return known
  }
  // the library's method is private; replacing it on the instance is the only hook it leaves
  Object.assign(config, { createDispatcher })
  return dispatchers
}

/** Opens a kubeconfig (a path), or with `""` the Pod's own service account. */
export const connect = (kubeconfig: string): Connection => {
  const config = load(kubeconfig)
  const dispatchers = memoisedDispatchers(config)
  const server = (config.getCurrentCluster()?.server ?? "").replace(/\/+$/, "")
  const authenticate: Connection["authenticate"] = async () => {
    const headers: Record<string, string> = {}
    let dispatcher: Dispatcher | undefined
    const context: Context = {
      setHeaderParam: (key, value) => {
        headers[key] = value
      },
      setDispatcher: (value) => {
        dispatcher = value as Dispatcher
      },
    }
    await config.applySecurityAuthentication(
      context as unknown as Parameters<KubeConfig["applySecurityAuthentication"]>[0],
    )
    if (dispatcher === undefined) throw new AppError("Internal", { detail: "The kubeconfig gave no dispatcher." })
    return { headers, dispatcher }
  }
  return {
    server,
    authenticate,
    close: async () => {
      await Promise.all([...dispatchers.values()].map((dispatcher) => dispatcher.destroy()))
    },
  }
}
