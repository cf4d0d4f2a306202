import type { Kind, KubeObject } from "../../api/kinds/kind.ts"
import { AppError } from "../../errors.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type {
  CallOptions,
  ClusterPort,
  LogQuery,
  LogStreamQuery,
  ObjectRef,
  Reflection,
  Selection,
  WatchOptions,
} from "../../ports/cluster.ts"
import type { TelemetryPort } from "../../ports/telemetry.ts"
import { createReflector, type WatchFrame } from "../reflector.ts"
import type { EventRecorder } from "./events.ts"
import { otherManagers } from "./ownership.ts"
import { toRaw, typed } from "./raw.ts"
import type { Pages } from "./select.ts"
import type { Server } from "./server.ts"
import type { Store } from "./store.ts"
import { watchFrames } from "./watch.ts"

/** A call of a client, as it is passed to an interceptor. */
export type Call = {
  readonly verb: Exclude<keyof ClusterPort, "close">
  /** e.g. `Pod`. */
  readonly kind: string
  /** Empty for lists and watches. */
  readonly name: string
}

/** Runs between a client and its cluster, for tests of faults. The program itself passes none. */
export type Intercept = {
  /**
   * Wraps each call, also the lists and watches of reflections: may call `run`, delay it, throw instead, or throw
   * afterwards.
   */
  readonly call?: <R>(call: Call, run: () => Promise<R>) => Promise<R>
  /** May delay or end the frames of a watch. */
  readonly frames?: (frames: AsyncIterable<WatchFrame>, call: Call, signal: AbortSignal) => AsyncIterable<WatchFrame>
}

/** The parts of a cluster that all its clients share. */
export type Backend = {
  readonly store: Store
  readonly server: Server
  readonly pages: Pages
  readonly events: EventRecorder
  readonly podLogs: (ref: ObjectRef, query: LogQuery, signal: AbortSignal | undefined) => Promise<string>
  readonly streamLogs: (
    ref: ObjectRef,
    query: LogStreamQuery,
    signal: AbortSignal | undefined,
  ) => Promise<AsyncIterable<string>>
  readonly clock: ClockPort
  readonly telemetry: TelemetryPort
  readonly bookmarkMs: number
}

type Run = <R>(call: Call, options: CallOptions | undefined, run: () => R | Promise<R>) => Promise<R>

/** Runs calls through the interceptor. Throws the signal's reason if it is aborted, `ClusterUnavailable` if closed. */
const createRun = (intercept: Intercept | undefined, isClosed: () => boolean): Run => {
  return async (call, options, run) => {
    options?.signal?.throwIfAborted()
    if (isClosed()) throw new AppError("ClusterUnavailable", { detail: "The embedded cluster is closed." })
    return intercept?.call === undefined ? run() : intercept.call(call, async () => run())
  }
}

/** The frames of a watch, as the interceptor passes them on. */
async function* opened(
  backend: Backend,
  request: { readonly kind: Kind<KubeObject>; readonly selection: Selection; readonly since: string },
  run: Run,
  intercept: Intercept | undefined,
  signal: AbortSignal,
): AsyncGenerator<WatchFrame> {
  const call: Call = { verb: "watch", kind: request.kind.kind, name: "" }
  await run(call, { signal }, () => undefined)
  const frames = watchFrames(backend.store, backend.clock, { ...request, bookmarkMs: backend.bookmarkMs }, signal)
  yield* intercept?.frames?.(frames, call, signal) ?? frames
}

/** The calls that write. */
const writes = ({ server }: Backend, manager: string, run: Run) =>
  ({
    create: (kind, object, options) =>
      run({ verb: "create", kind: kind.kind, name: object.metadata.name }, options, () =>
        typed(kind, server.create(kind, toRaw(object), manager, options?.dryRun === true)),
      ),
    apply: (kind, object, options) =>
      run({ verb: "apply", kind: kind.kind, name: object.metadata.name }, options, () =>
        typed(kind, server.apply(kind, toRaw(object), manager)),
      ),
    mergePatch: (kind, ref, patch, options) =>
      run({ verb: "mergePatch", kind: kind.kind, name: ref.name }, options, () =>
        typed(kind, server.mergePatch(kind, ref, patch, manager)),
      ),
    mergePatchSpec: (kind, read, spec, options) =>
      run({ verb: "mergePatchSpec", kind: kind.kind, name: read.metadata.name }, options, () =>
        typed(kind, server.mergePatchSpec(kind, toRaw(read), spec, manager)),
      ),
    patchStatus: (kind, ref, patch, options) =>
      run({ verb: "patchStatus", kind: kind.kind, name: ref.name }, options, () =>
        typed(kind, server.patchStatus(kind, ref, patch)),
      ),
    replace: (kind, object, options) =>
      run({ verb: "replace", kind: kind.kind, name: object.metadata.name }, options, () =>
        typed(kind, server.replace(kind, toRaw(object), manager)),
      ),
    delete: (kind, ref, options) =>
      run({ verb: "delete", kind: kind.kind, name: ref.name }, options, () => server.delete(kind, ref, options ?? {})),
  }) satisfies Partial<ClusterPort>

/** Makes a client that writes as one field manager. */
export const createClient = (backend: Backend, manager: string, intercept: Intercept | undefined): ClusterPort => {
  const { store, pages, clock, telemetry } = backend
  const open = new Set<Pick<Reflection<KubeObject>, "close">>()
  let closed = false
  const run = createRun(intercept, () => closed)

  const list: ClusterPort["list"] = (kind, selection, options) =>
    run({ verb: "list", kind: kind.kind, name: "" }, options, () => {
      const page = pages.list(kind, selection, selection)
      return { ...page, items: page.items.map((item) => typed(kind, item)) }
    })

  const watch = <T extends KubeObject>(kind: Kind<T>, selection: Selection, options?: WatchOptions): Reflection<T> => {
    return createReflector<T>({
      ...options,
      kind,
      clock,
      telemetry,
      open,
      source: {
        list: (page, signal) => list(kind, { ...selection, ...page }, { signal }),
        watch: (since, signal) => opened(backend, { kind, selection, since }, run, intercept, signal),
      },
    })
  }

  return {
    ...writes(backend, manager, run),
    list,
    watch,
    get: (kind, ref, options) =>
      run({ verb: "get", kind: kind.kind, name: ref.name }, options, () => {
        const stored = store.find(kind, ref)
        return stored === undefined ? undefined : typed(kind, stored.object)
      }),
    getManaged: (kind, ref, options) =>
      run({ verb: "getManaged", kind: kind.kind, name: ref.name }, options, () => {
        const stored = store.find(kind, ref)
        if (stored === undefined) return undefined
        return { object: typed(kind, stored.object), others: otherManagers(stored.ownership, manager) }
      }),
    recordEvent: (event, options) =>
      run({ verb: "recordEvent", kind: "Event", name: event.regarding.metadata.name }, options, () =>
        backend.events.record(event, manager),
      ),
    podLogs: (ref, query, options) =>
      run({ verb: "podLogs", kind: "Pod", name: ref.name }, options, () =>
        backend.podLogs(ref, query, options?.signal),
      ),
    streamLogs: async function* (ref, query, options) {
      yield* await run({ verb: "streamLogs", kind: "Pod", name: ref.name }, options, () =>
        backend.streamLogs(ref, query, options?.signal),
      )
    },
    close: async () => {
      closed = true
      await Promise.all([...open].map((each) => each.close()))
    },
  }
}
