import { createHash, randomBytes } from "node:crypto"
import { type Kind, type KubeObject, toKubeTime } from "../../api/kinds/kind.ts"
import { eventKind } from "../../api/kinds/kubernetes.ts"
import { AppError, hasCode } from "../../errors.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type {
  CallOptions,
  ClusterPort,
  EventInput,
  ObjectRef,
  Reflection,
  Selection,
  WatchOptions,
} from "../../ports/cluster.ts"
import type { TelemetryPort } from "../../ports/telemetry.ts"
import { equalForMs, toEvent } from "../event.ts"
import { createReflector } from "../reflector.ts"
import { connect } from "./connection.ts"
import { logCall, streamLog } from "./logs.ts"
import { createObjectCalls, type ObjectCalls } from "./objects.ts"
import { createTransport, type Transport } from "./transport.ts"
import { createSource } from "./watch.ts"

/** An Event that was written recently; `at` is the time of the last write (milliseconds since the epoch). */
type Written = { readonly ref: ObjectRef; readonly at: number; readonly times: number }

const maxKept = 1_000

const keyOf = ({ regarding, type, reason, note }: EventInput): string =>
  createHash("sha256")
    .update([regarding.kind, regarding.metadata.uid ?? "", regarding.metadata.name, type, reason, note].join("\0"))
    .digest("hex")
    .slice(0, 16)

/** Makes the function that records Events; an equal Event within ten minutes only raises the count of the first. */
const createEventRecorder = (objects: ObjectCalls, clock: ClockPort, component: string) => {
  /** The last Event of each key, the oldest write first. A key is the digest of all fields that make Events equal. */
  const written = new Map<string, Written>()
  /**
   * The unfinished write of each key: equal Events are written one after the other, or each would create a new Event.
   */
  const pending = new Map<string, Promise<void>>()

  /** Raises the count of an Event; false if it no longer exists, since the API server keeps Events for an hour. */
  const count = async ({ ref, times }: Written, options?: CallOptions): Promise<boolean> => {
    try {
      const patch = { count: times + 1, lastTimestamp: toKubeTime(clock.now()) }
      await objects.mergePatch(eventKind, ref, patch, options)
      return true
    } catch (error) {
      if (hasCode(error, "ApiNotFound")) return false
      throw error
    }
  }
  const keep = (key: string, event: Written): void => {
    written.delete(key)
    written.set(key, event)
    if (written.size > maxKept) written.delete(written.keys().next().value ?? "")
  }
  const write = async (key: string, input: EventInput, options?: CallOptions): Promise<void> => {
    const now = clock.now()
    const known = written.get(key)
    if (known !== undefined && now - known.at < equalForMs && (await count(known, options)))
      return keep(key, { ...known, at: now, times: known.times + 1 })
    const { name, namespace = "default" } = input.regarding.metadata
    const ref = { namespace, name: `${name}.${key}${randomBytes(4).toString("hex")}` }
    await objects.create(eventKind, toEvent(input, ref, toKubeTime(now), component), options)
    keep(key, { ref, at: now, times: 1 })
  }

  return async (input: EventInput, options?: CallOptions): Promise<void> => {
    const key = keyOf(input)
    const before = pending.get(key) ?? Promise.resolve()
    const writing = before.catch(() => {}).then(() => write(key, input, options))
    pending.set(key, writing)
    try {
      await writing
    } finally {
      if (pending.get(key) === writing) pending.delete(key)
    }
  }
}

/** Dependencies and options of the kube adapter. */
export type KubeClusterDeps = {
  /** Path of a kubeconfig; empty = the Pod's own service account. */
  readonly kubeconfig: string
  /**
   * Field manager of this role's writes, e.g. `reflow-operator`; also the user agent and the component of its Events.
   */
  readonly fieldManager: string
  readonly clock: ClockPort
  readonly telemetry: TelemetryPort
  /**
   * Milliseconds without a frame after which a watch counts as broken; default 75 s, since bookmarks come every 60 s.
   */
  readonly silenceLimitMs?: number
  /** Called when a list of more than one page has been read: it has left much garbage. See reflector.ts. */
  readonly onLongList?: (isFirst: boolean) => void
}

/** The cluster port over the API server of a real cluster. */
export type KubeCluster = ClusterPort & {
  /** The raw transport, for the preflight check. */
  readonly transport: Transport
  /**
   * The namespace of this process's Pod, or of the kubeconfig's current context; undefined if the context names none.
   */
  readonly ownNamespace: string | undefined
  /** URL of the API server, without a trailing slash. */
  readonly server: string
}

/** Opens a cluster. Throws `ConfigInvalid` for a bad kubeconfig. Makes no call before the first use. */
export const createKubeCluster = (deps: KubeClusterDeps): KubeCluster => {
  const { kubeconfig, fieldManager, clock, telemetry } = deps
  const silence = deps.silenceLimitMs === undefined ? {} : { silenceLimitMs: deps.silenceLimitMs }
  const onLongList = deps.onLongList === undefined ? {} : { onLongList: deps.onLongList }
  const connection = connect(kubeconfig)
  const closing = new AbortController()
  const log = telemetry.log.child({ adapter: "kube" })
  const requests = telemetry.counter({
    name: "rest_client_requests_total",
    help: "Calls to the API server by method and answer.",
    labels: ["method", "code"],
  })
  const transport = createTransport({
    connection,
    clock,
    log,
    requests,
    userAgent: fieldManager,
    closing: closing.signal,
  })
  const objects = createObjectCalls(transport, fieldManager)
  const open = new Set<Pick<Reflection<KubeObject>, "close">>()

  return {
    ...objects,
    transport,
    ownNamespace: connection.namespace,
    get server() {
      return connection.server
    },
    watch: <T extends KubeObject>(kind: Kind<T>, selection: Selection, options?: WatchOptions): Reflection<T> => {
      const source = createSource(transport, objects, kind, selection)
      return createReflector<T>({ ...options, ...silence, ...onLongList, kind, source, clock, telemetry, open })
    },
    recordEvent: createEventRecorder(objects, clock, fieldManager),
    podLogs: (ref, query, options) => transport.text(logCall(ref, query, options?.signal)),
    streamLogs: (ref, query, options) => streamLog(transport, ref, query, options?.signal),
    close: async () => {
      closing.abort(new AppError("ClusterUnavailable", { detail: "The client of the API server is closed." }))
      await Promise.all([...open].map((reflection) => reflection.close()))
      await connection.close()
    },
  }
}
