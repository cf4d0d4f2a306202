import type { Kind, KubeObject } from "../../api/kind.ts"
import { AppError } from "../../errors.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { ClusterPort, Reflection, Selection, WatchOptions } from "../../ports/cluster.ts"
import type { TelemetryPort } from "../../ports/telemetry.ts"
import { createReflector } from "../reflector.ts"
import { connect } from "./connection.ts"
import { createEventRecorder } from "./events.ts"
import { logCall, streamLog } from "./logs.ts"
import { createObjectCalls } from "./objects.ts"
import { createTransport, type Transport } from "./transport.ts"
import { createSource } from "./watch.ts"

/** What the kube adapter needs. */
export type KubeClusterDeps = {
  /** Path of a kubeconfig; empty = the Pod's own service account. */
  readonly kubeconfig: string
  /** Name under which this role's fields are managed, e.g. `reflow-operator`. */
  readonly fieldManager: string
  readonly clock: ClockPort
  readonly telemetry: TelemetryPort
  /** Milliseconds of silence after which a watch counts as dead; default 75 s, since bookmarks come every 60 s. */
  readonly silenceLimitMs?: number
}

/** The real API server behind the cluster port. */
export type KubeCluster = ClusterPort & {
  /** The raw transport, for the preflight check. */
  readonly transport: Transport
  /** The namespace that this process lives in: its Pod's, or the one of the kubeconfig's context, if that names one. */
  readonly ownNamespace: string | undefined
}

/** Opens a cluster. No call is made before the first use. */
export const createKubeCluster = (deps: KubeClusterDeps): KubeCluster => {
  const { kubeconfig, fieldManager, clock, telemetry } = deps
  const silence = deps.silenceLimitMs === undefined ? {} : { silenceLimitMs: deps.silenceLimitMs }
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
  const reflections = new Set<Reflection<KubeObject>>()

  return {
    ...objects,
    transport,
    ownNamespace: connection.namespace,
    watch: <T extends KubeObject>(kind: Kind<T>, selection: Selection, options?: WatchOptions): Reflection<T> => {
      const source = createSource(transport, objects, kind, selection)
      const reflection = createReflector<T>({ ...options, ...silence, kind, source, clock, telemetry })
      const own: Reflection<T> = {
        ...reflection,
        get size() {
          return reflection.size
        },
        close: () => {
          reflections.delete(own)
          return reflection.close()
        },
      }
      reflections.add(own)
      return own
    },
    recordEvent: createEventRecorder(objects, clock, fieldManager),
    podLogs: (ref, query, options) => transport.text(logCall(ref, query, options?.signal)),
    streamLogs: (ref, query, options) => streamLog(transport, ref, query, options?.signal),
    close: async () => {
      closing.abort(new AppError("ClusterUnavailable", { detail: "The client of the API server is closed." }))
      await Promise.all([...reflections].map((reflection) => reflection.close()))
      await connection.close()
    },
  }
}
