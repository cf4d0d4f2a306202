import type { Config, Role } from "../config/schema.ts"
import { createGuardedFetch, type GuardedFetch, trustsIssuers } from "../outgoing/fetch.ts"
import { createOutgoingGuard, type OutgoingGuard, portOf } from "../outgoing/guard.ts"
import type { Place } from "../outgoing/own-places.ts"
import type { TelemetryPort } from "../ports/telemetry.ts"
import { parseListen } from "./listen/http-listener.ts"

/** Dependencies of {@link createOutgoing}. */
export type OutgoingDeps = {
  readonly config: Pick<Config, "remote" | "gateway" | "metrics">
  readonly telemetry: Pick<TelemetryPort, "counter">
  readonly role: Role
  /** URL at which this process reaches the API server, read at each check; absent with the embedded cluster. */
  readonly apiServer?: () => string
  /** Further ports of this process, e.g. one that the system chose. Those of the configuration need not be here. */
  readonly listeners?: readonly Place[]
}

/** Networks that --role dev allows in addition: its user tries servers on the same machine. */
const loopback = ["127.0.0.0/8", "::1/128"]

const placeOf = (text: string): readonly Place[] => {
  const url = URL.parse(text)
  return url === null || url.hostname === "" ? [] : [{ host: url.hostname, port: portOf(url) }]
}

const listenersOf = ({ gateway, metrics }: OutgoingDeps["config"]): readonly Place[] =>
  [gateway.listen, metrics.listen].filter((each) => each !== undefined).map(parseListen)

/** The place of a listener, whose port the system may have chosen. */
export const placeOfListener = (listen: string, { port }: { readonly port: number }): Place => ({
  host: parseListen(listen).host,
  port,
})

/** Builds the guard of outgoing connections from the configuration. */
export const createOutgoing = (deps: OutgoingDeps): OutgoingGuard => {
  const { config, telemetry, role, apiServer = () => "", listeners = [] } = deps
  const { remote } = config
  const refused = telemetry.counter({
    name: "reflow_outgoing_refused_total",
    help: "Connections to hosts of targets and issuers that were refused, by the reason.",
    labels: ["reason"],
  })
  const own = [...listenersOf(config), ...listeners]
  const closed = () => [...own, ...placeOf(apiServer())]
  const options =
    role === "dev" ? { ...remote, allow_http: true, allow_networks: [...remote.allow_networks, ...loopback] } : remote
  return createOutgoingGuard({ options, closed, onRefused: (reason) => refused.inc({ reason }) })
}

/** The fetch of issuers' documents: free for the hosts of the configuration, guarded for all others. */
export const issuersFetch = (guard: OutgoingGuard, { auth }: Pick<Config, "auth">): GuardedFetch =>
  createGuardedFetch(guard, trustsIssuers(auth.issuers))
