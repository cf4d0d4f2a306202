import { createHash } from "node:crypto"
import type { MCPTarget } from "../../api/kinds/mcp-target.ts"
import { digest } from "../../api/names.ts"
import type { Compose } from "../../credentials/compose.ts"
import { loginRejected } from "../../credentials/explain.ts"
import { AppError } from "../../errors.ts"
import type { ClockPort } from "../../ports/clock.ts"
import { type ClusterPort, type Reflection, watchSilenceMs } from "../../ports/cluster.ts"
import type { TelemetryPort } from "../../ports/telemetry.ts"
import type { Placement, PlacementPort, RemoteWay } from "../port.ts"
import { shuttingDown } from "../refusals.ts"
import { createSeating, ensureOpen, type Seat } from "../visit.ts"
import { createCAReader } from "./ca-secret.ts"
import type { Composed } from "./composed.ts"
import { Compositions, sharerOf, type Wish } from "./compositions.ts"
import { Followers } from "./followers.ts"
import { composeHeaders, credentialNames } from "./headers.ts"
import { remoteIncarnation } from "./incarnation.ts"

/** Dependencies of the placement of remote servers. */
export type RemotePlacementDeps = {
  readonly cluster: ClusterPort
  readonly targets: Reflection<MCPTarget>
  readonly compose: Compose
  /** Throws AddressNotAllowed for a URL that may not be called. */
  readonly checkUrl: (url: URL) => void
  readonly clock: ClockPort
  readonly telemetry: TelemetryPort
  readonly options: {
    readonly namespace: string
    /** Names of the configured issuers; see identity/access.ts. */
    readonly issuers: readonly string[]
    /** URL of the REST API, where credentials are set; absent where there is none. */
    readonly apiUrl?: string
  }
}

/** Values that are younger are not read again because a server refused them, milliseconds. */
const renewAfterMs = 1_000
/** Longest wait for the answer to a question about credentials that is not needed for a request, milliseconds. */
const questionMs = 2_000

const unanswered = (): AppError =>
  new AppError("ClusterUnavailable", { detail: "The credentials could not be read in time.", retryAfterSeconds: 5 })

const digestOf = (...parts: readonly string[]): string =>
  createHash("sha256").update(JSON.stringify(parts)).digest("base64url")

/** Calls `listener` when the incarnation of a seat is over; see {@link RemoteWay.follow}. */
type Follow = (seat: Seat, incarnation: string, listener: () => void) => () => void

/** Makes the composer of placements. */
const createComposer = (deps: RemotePlacementDeps, follow: Follow) => {
  const readCA = createCAReader(deps.cluster, deps.options.namespace)
  const rejections = deps.telemetry.counter({
    name: "reflow_remote_login_rejections_total",
    help: "Answers 401 and 403 of remote servers, by target.",
    labels: ["target"],
  })
  const rejectedBy =
    (target: MCPTarget): RemoteWay["rejected"] =>
    (status) => {
      rejections.inc({ target: target.metadata.name })
      return loginRejected(target, { names: credentialNames(target), status }, deps.options.apiUrl)
    }
  return async ({ target, seat, requestId }: Wish, signal: AbortSignal): Promise<Composed> => {
    const at = deps.clock.now()
    const url = URL.parse(target.spec.remote?.url ?? "")
    if (url === null)
      throw new AppError("AddressNotAllowed", { detail: `remote.url of ${target.metadata.name} is no URL.` })
    deps.checkUrl(url)
    const [composition, ca] = await Promise.all([
      deps.compose(target, seat.holder, signal, requestId),
      readCA(target, signal),
    ])
    const incarnation = remoteIncarnation(target, composition.scoped)
    const remote: RemoteWay = {
      headers: composeHeaders(target, composition.values),
      ca,
      pool: digestOf(incarnation, ca ?? ""),
      loop: `reflow-${digest(15, target.metadata.uid ?? "")}`,
      rejected: rejectedBy(target),
      follow: (listener) => follow(seat, incarnation, listener),
    }
    // the slash keeps it apart from the names of instances
    const placement = {
      instance: `remote/${sharerOf(seat)}`,
      instanceUID: target.metadata.uid ?? "",
      incarnation,
      url,
      remote,
    }
    return { target, placement, at, expiresAt: composition.expiresAt }
  }
}

/**
 * Placement of servers that somebody else runs: nothing is started, so a request waits for its sharer's credentials at
 * most. Its `place` throws or rejects with CredentialMissing, InstanceFailed (a credential that no header can hold),
 * AddressNotAllowed, UpstreamUntrusted (caSecret), PluginFailed, TargetPaused, TargetNotFound, ClusterUnavailable,
 * ShuttingDown, or with the reason of the request's signal.
 */
export const createRemotePlacement = (deps: RemotePlacementDeps): PlacementPort => {
  const { clock, targets, options } = deps
  const stop = new AbortController()
  const followers = new Followers()
  const follow: Follow = (seat, incarnation, listener) => {
    if (compositions.known(seat)?.placement.incarnation === incarnation)
      return followers.add(sharerOf(seat), incarnation, listener)
    // it has changed while the request was on its way
    listener()
    return () => {}
  }
  const compositions = new Compositions({
    clock,
    compose: createComposer(deps, follow),
    followers,
    isAway: () => targets.silenceMs() > watchSilenceMs,
    signal: stop.signal,
  })
  const unsubscribe = targets.subscribe(({ type, object, previous }) => {
    if (type !== "deleted") compositions.see(previous, object)
  })
  const seatOf = createSeating(options.issuers)
  /** For which wish a way was composed; ways are shared by all copies of a placement. */
  const wishes = new WeakMap<RemoteWay, Wish>()
  const placedFor = (wish: Wish, { placement }: Composed): Placement => {
    if (placement.remote !== undefined && !wishes.has(placement.remote)) wishes.set(placement.remote, wish)
    return placement
  }
  /** The same wish for the newest state of its target. */
  const wishOf = ({ remote }: Placement): Wish | undefined => {
    const wish = remote === undefined ? undefined : wishes.get(remote)
    if (wish === undefined) return undefined
    const now = targets.get(wish.target.metadata.name)
    return now?.metadata.uid === wish.target.metadata.uid ? { ...wish, target: now ?? wish.target } : undefined
  }
  /** Reads anew, for a question that a request waits for although it has an answer of its server already. */
  const readSoon = (wish: Wish, signal: AbortSignal): Promise<Composed> => {
    const limit = new AbortController()
    const cancel = clock.timer(questionMs, () => limit.abort(unanswered()))
    return compositions.again(wish, AbortSignal.any([signal, limit.signal])).finally(cancel)
  }
  return {
    place: (request) => {
      if (stop.signal.aborted) throw shuttingDown()
      ensureOpen(request.target)
      const wish = { target: request.target, seat: seatOf(request), requestId: request.requestId }
      const composed = compositions.get(wish, request.signal)
      return composed instanceof Promise ? composed.then((made) => placedFor(wish, made)) : placedFor(wish, composed)
    },
    renew: async (placement, signal) => {
      const wish = wishOf(placement)
      if (wish === undefined) return false
      const isOther = (made: Composed): boolean =>
        digestOf(...(made.placement.remote?.headers ?? [])) !== digestOf(...(placement.remote?.headers ?? []))
      const known = compositions.known(wish.seat)
      if (known !== undefined && isOther(known)) return true
      if (known !== undefined && Math.abs(clock.now() - known.at) < renewAfterMs) return false
      return isOther(await readSoon(wish, signal))
    },
    currentIncarnation: async (placement, signal, knownMs = 0) => {
      const wish = wishOf(placement)
      if (wish === undefined) return undefined
      const known = compositions.known(wish.seat)
      const isYoung = known !== undefined && Math.abs(clock.now() - known.at) < knownMs
      return (isYoung ? known : await readSoon(wish, signal)).placement.incarnation
    },
    // whether somebody else's server still runs is not known: its client may resume there
    stillRuns: async () => true,
    beginCall: () => () => {},
    touchStream: () => {},
    reportUnreachable: () => {},
    close: async () => {
      stop.abort(shuttingDown())
      unsubscribe()
      compositions.close()
    },
  }
}
