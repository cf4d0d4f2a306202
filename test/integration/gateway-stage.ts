import type { IncomingMessage, RequestListener, Server, ServerResponse } from "node:http"
import { type AddressInfo, connect, type Socket } from "node:net"
import { systemClock } from "../../src/adapters/system/clock.ts"
import { type MCPTarget, MCPTargetSpec } from "../../src/api/kinds/mcp-target.ts"
import { createFrontDoor } from "../../src/door/front-door.ts"
import { createGuard } from "../../src/door/guard.ts"
import { AppError } from "../../src/errors.ts"
import { createGateway, type Gateway } from "../../src/gateway/gateway.ts"
import type { GatewayOptions } from "../../src/gateway/request-path.ts"
import type { SessionKeys } from "../../src/gateway/session/session-keys.ts"
import type { Identity } from "../../src/identity/identity.ts"
import type { SubjectKey } from "../../src/identity/subject-key.ts"
import { type Budget, createBudget } from "../../src/intake/bodies.ts"
import { guardedConnector } from "../../src/outgoing/connect.ts"
import { createStillRuns, probe } from "../../src/placement/know/probe.ts"
import type { Placement, PlacementPort, PlacementRequest, RemoteWay } from "../../src/placement/port.ts"
import type { ClockPort } from "../../src/ports/clock.ts"
import type { Reflection } from "../../src/ports/cluster.ts"
import type { Logger, TelemetryPort } from "../../src/ports/telemetry.ts"
import { makeServer } from "../../src/roles/listen/http-listener.ts"
import { envelope } from "../support/modern.ts"
import { type KeptLine, quietTelemetry } from "../support/quiet-telemetry.ts"
import { remoteSpec } from "../support/remote-peers.ts"
import { isServedByPods } from "../support/serving.ts"

/** Where requests come from that reach the gateway without its front door. */
export const localOrigin = { address: "127.0.0.1", host: "localhost", protocol: "http" } as const

/** A request as the server behind the gateway saw it. */
export type Seen = {
  readonly method: string
  /** Path and query. */
  readonly url: string
  readonly headers: IncomingMessage["headers"]
  readonly body: string
}

/** A real server on loopback that tests script. */
export type FakeServer = {
  readonly url: URL
  readonly seen: Seen[]
  readonly sockets: Set<Socket>
  close(): Promise<void>
}

const listen = async (listener: RequestListener): Promise<{ server: Server; port: number; sockets: Set<Socket> }> => {
  const server = makeServer().on("request", listener)
  const sockets = new Set<Socket>()
  server.on("connection", (socket) => {
    sockets.add(socket)
    socket.on("close", () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return { server, port: (server.address() as AddressInfo).port, sockets }
}

const end = async (server: Server): Promise<void> => {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
}

const textOf = async (request: IncomingMessage): Promise<string> => {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

/** Starts a server; the handler gets each request with its whole body. */
export const startServer = async (
  handler: (seen: Seen, response: ServerResponse, request: IncomingMessage) => unknown,
): Promise<FakeServer> => {
  const seen: Seen[] = []
  const { server, port, sockets } = await listen(async (request, response) => {
    const { method = "", url = "", headers } = request
    const one: Seen = { method, url, headers, body: await textOf(request) }
    seen.push(one)
    await handler(one, response, request)
  })
  return { url: new URL(`http://127.0.0.1:${port}/mcp`), seen, sockets, close: () => end(server) }
}

/** Answers a request with a JSON-RPC result. */
export const answerJson = (response: ServerResponse, seen: Seen, result: unknown, headers = {}): void => {
  response.writeHead(200, { "content-type": "application/json", ...headers })
  response.end(JSON.stringify({ jsonrpc: "2.0", id: JSON.parse(seen.body).id, result }))
}

/** A placement that says what the test tells it, and keeps what it was asked. */
export type FakePlacement = PlacementPort & {
  /** Where everything is; undefined = no instance lives. */
  now: Placement | undefined
  /** What the API server says; undefined = the same as `now`. */
  actual: string | undefined | "same"
  readonly requests: PlacementRequest[]
  readonly reads: Placement[]
  readonly unreachable: Placement[]
  /** Where calls are open, one entry for each. */
  readonly inUse: Placement[]
  readonly calls: number
  streamTouches: number
  /** Runs before place answers. */
  hold: ((request: PlacementRequest) => Promise<void>) | undefined
  /** Runs when an address was reported unreachable. */
  onUnreachable: (() => void) | undefined
}

/** The placement of one life of a server at `url`. */
export const lifeAt = (url: URL, incarnation = "pod-1.0", instanceUID = "uid-1"): Placement => ({
  instance: "demo-user-aaaaaaaaaaaaaaa",
  instanceUID,
  incarnation,
  url,
})

/** How requests are sent to the server of a life, if somebody else runs it. */
const wayTo = ({ incarnation }: Placement): RemoteWay => ({
  headers: ["x-own", "of the target"],
  ca: undefined,
  pool: incarnation,
  loop: "reflow-test",
  follow: () => () => {},
  rejected: (status) => new AppError("UpstreamLoginRejected", { detail: `The server answered ${status}.` }),
})

/** Opens connections as a gateway does to servers outside of the cluster, but to loopback. */
const connectRemote = () => guardedConnector({ checkUrl: () => {}, lookup: async () => loopback }, {})
const loopback = [{ address: "127.0.0.1", family: 4 }] as const

const fakePlacement = (): FakePlacement => {
  const port: FakePlacement = {
    now: undefined,
    actual: "same",
    requests: [],
    reads: [],
    unreachable: [],
    streamTouches: 0,
    hold: undefined,
    onUnreachable: undefined,
    place: async (request) => {
      port.requests.push(request)
      await port.hold?.(request)
      if (port.now === undefined) throw new AppError("SessionNotFound", { detail: "No instance lives." })
      return isServedByPods() ? port.now : { ...port.now, remote: wayTo(port.now) }
    },
    get calls() {
      return port.inUse.length
    },
    inUse: [],
    beginCall: (placement) => {
      port.inUse.push(placement)
      return () => void port.inUse.splice(port.inUse.indexOf(placement), 1)
    },
    touchStream: () => void port.streamTouches++,
    renew: async () => false,
    currentIncarnation: async (placement) => {
      port.reads.push(placement)
      return port.actual === "same" ? port.now?.incarnation : port.actual
    },
    stillRuns: async () => true,
    reportUnreachable: (placement) => {
      port.unreachable.push(placement)
      port.onUnreachable?.()
    },
    close: async () => {},
  }
  return port
}

type Listener = Parameters<Reflection<MCPTarget>["subscribe"]>[0]

/** What a target says of its server. */
const served = () => (isServedByPods() ? { image: "demo", port: 8080 } : remoteSpec("http://127.0.0.1/mcp"))

const reflect = (targets: Map<string, MCPTarget>, listeners: Set<Listener>): Reflection<MCPTarget> => ({
  synced: Promise.resolve(),
  hasSynced: () => true,
  get: (name) => targets.get(name),
  items: () => targets.values(),
  get size() {
    return targets.size
  },
  silenceMs: () => 0,
  subscribe: (listener) => {
    listeners.add(listener)
    return () => void listeners.delete(listener)
  },
  close: async () => {},
})

/** An identity of a subject, as a static token makes it. */
export const identityOf = (subject: string): Identity => ({
  source: "token",
  issuer: "static",
  subject,
  groups: [],
  roles: [],
  scopes: [],
  claims: {},
})

/** One key that never changes. */
export const fixedKeys = (): SessionKeys => {
  const one = { id: "00c0ffee", secret: Buffer.alloc(32, 7) }
  return { current: () => one, find: (id) => (id === one.id ? one : undefined), lookUp: async () => undefined }
}

/** A running gateway with a scripted placement. */
export type Stage = {
  readonly url: string
  readonly port: number
  readonly gateway: Gateway
  readonly bodies: Budget
  readonly placement: FakePlacement
  readonly lines: KeptLine[]
  /** Answers that are open, as the gateway writes them. */
  readonly responses: ReadonlySet<ServerResponse>
  /** Adds a target, or changes the one that is there. */
  addTarget(name: string, spec?: Partial<MCPTargetSpec>): void
  removeTarget(name: string): void
  close(): Promise<void>
}

/** Options of the gateway, and what it is built from if not from the usual. */
export type StageOptions = Partial<GatewayOptions> & {
  readonly clock?: ClockPort
  readonly sessionKeys?: SessionKeys
  /** Bytes of all bodies; default 256 MiB. */
  readonly maxHeld?: number
  /** Absent: nothing is counted. */
  readonly metrics?: Omit<TelemetryPort, "log">
  /** Absent: its lines are in {@link Stage.lines}. */
  readonly log?: Logger
}

/** Starts a gateway on loopback. Tokens are `token-of-<subject>`, or
 * `token-of-<subject>-until-<time>` with an expiry in milliseconds since the epoch; targets named `secret…` may be used by carol only. */
export const startStage = async (options: StageOptions = {}): Promise<Stage> => {
  const targets = new Map<string, MCPTarget>()
  const listeners = new Set<Listener>()
  const placement = fakePlacement()
  const telemetry = quietTelemetry()
  let listener: RequestListener = () => {}
  const responses = new Set<ServerResponse>()
  const { server, port } = await listen((request, response) => {
    responses.add(response)
    response.on("close", () => responses.delete(response))
    listener(request, response)
  })
  const publicUrl = `http://localhost:${port}`
  const { clock = systemClock, sessionKeys = fixedKeys(), metrics, log = telemetry.log, maxHeld, ...rest } = options
  const bodies = createBudget(maxHeld ?? 256 * 2 ** 20)
  const { currentIncarnation } = placement
  placement.stillRuns = createStillRuns({ currentIncarnation, probe, clock })
  const gateway = createGateway({
    targets: reflect(targets, listeners),
    placement,
    authenticate: ({ authorization }) => {
      const [, subject, until] = /^Bearer token-of-(.+?)(?:-until-(\d+))?$/.exec(authorization ?? "") ?? []
      if (subject === undefined) throw new AppError("Unauthenticated", { detail: "The token is not known." })
      return { ...identityOf(subject), ...(until === undefined ? {} : { expiresAtMs: Number(until) }) }
    },
    connectRemote,
    subjectKeyOf: (_, identity) => `user:${identity.subject}` as SubjectKey,
    mayUse: ({ metadata, spec: { access } }, { subject }) =>
      (!metadata.name.startsWith("secret") || subject === "carol") && (access?.users?.includes(subject) ?? true),
    sessionKeys,
    bodies,
    clock,
    telemetry: { ...telemetry, ...metrics, log },
    options: {
      publicUrl,
      requestTimeoutMs: 5_000,
      sessionLifetimeMs: 3_600_000,
      maxBodyBytes: 4 * 2 ** 20,
      ...rest,
    },
  })
  const guard = createGuard({ publicUrl, allowedHosts: [], allowedOrigins: ["https://app.example"], loopback: true })
  listener = createFrontDoor({ guard, gateway })
  const addTarget = (name: string, spec: Partial<MCPTargetSpec> = {}): void => {
    const object: MCPTarget = {
      apiVersion: "mcp.reflow.io/v1alpha1",
      kind: "MCPTarget",
      metadata: { name, uid: `uid-of-${name}`, generation: 1 },
      spec: MCPTargetSpec.parse({ ...served(), ...spec }),
    }
    targets.set(name, object)
    for (const listener of listeners) listener({ type: "modified", object })
  }
  const removeTarget = (name: string): void => {
    const object = targets.get(name)
    targets.delete(name)
    if (object !== undefined) for (const listener of listeners) listener({ type: "deleted", object })
  }
  addTarget("demo")
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    gateway,
    bodies,
    placement,
    lines: telemetry.lines,
    responses,
    addTarget,
    removeTarget,
    close: async () => {
      await gateway.close()
      await end(server)
    },
  }
}

/** What a client sends. */
export type Call = {
  readonly target?: string
  readonly subject?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
  readonly verb?: "POST" | "GET" | "DELETE"
}

/** Sends a message (or a raw body) as a client of the legacy era does. */
export const post = (stage: Stage, body: unknown, call: Call = {}): Promise<Response> => {
  const verb = call.verb ?? "POST"
  return fetch(`${stage.url}/mcp/${call.target ?? "demo"}`, {
    method: verb,
    headers: {
      authorization: `Bearer token-of-${call.subject ?? "alice"}`,
      accept: "application/json, text/event-stream",
      ...(verb === "POST" ? { "content-type": "application/json" } : {}),
      ...call.headers,
    },
    ...(verb === "POST" ? { body: typeof body === "string" ? body : JSON.stringify(body) } : {}),
    ...(call.signal === undefined ? {} : { signal: call.signal }),
  })
}

/** A request without params worth naming. */
export const message = (method: string, params: unknown = {}, id: number | string = 1) => ({
  jsonrpc: "2.0",
  id,
  method,
  params,
})

/** The initialize that clients of the legacy era begin with. */
export const initialize = message("initialize", {
  protocolVersion: "2025-11-25",
  capabilities: { sampling: {} },
  clientInfo: { name: "test", version: "1" },
})

/** A request of the modern era and the headers that go with it. */
export const modernRequest = (method: string, params: Readonly<Record<string, unknown>> = {}) => ({
  body: message(method, { ...params, _meta: envelope }),
  headers: { "mcp-protocol-version": "2026-07-28", "mcp-method": method },
})

/** A tools/call of the modern era and the headers that go with it. */
export const modernCall = (name: string) => {
  const { body, headers } = modernRequest("tools/call", { name, arguments: {} })
  return { body, headers: { ...headers, "mcp-name": name } }
}

/** Sends bytes over a socket of its own; resolves with everything that came back when it was closed. */
export const raw = (port: number, text: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(text))
    let answer = ""
    socket.setTimeout(5_000, () => socket.destroy())
    socket.on("data", (chunk) => {
      answer += chunk
    })
    socket.on("error", reject)
    socket.on("close", () => resolve(answer))
  })

/** A promise and what resolves it. */
export const gate = <T = void>() => Promise.withResolvers<T>()
