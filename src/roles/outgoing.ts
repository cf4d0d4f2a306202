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
  readonly role: Role | "check"
  /** URL at which this process reaches the API server; undefined with the embedded cluster. */
  readonly apiServer: string | undefined
  /** The ports of this process where they differ from the configuration: those that the system chose. */
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

/** Builds the guard of outgoing connections from the configuration. */
export const createOutgoing = (deps: OutgoingDeps): OutgoingGuard => {
  const { config, telemetry, role, apiServer, listeners = [] } = deps
  const { remote } = config
  const refused = telemetry.counter({
    name: "reflow_outgoing_refused_total",
    help: "Connections to hosts of targets and issuers that were refused, by the reason.",
    labels: ["reason"],
  })
  const places = [...listenersOf(config), ...listeners, ...(apiServer === undefined ? [] : placeOf(apiServer))]
  const options =
    role === "dev" ? { ...remote, allow_http: true, allow_networks: [...remote.allow_networks, ...loopback] } : remote
  return createOutgoingGuard({ options, closed: () => places, onRefused: (reason) => refused.inc({ reason }) })
}

/** The fetch of issuers' documents: free for the hosts of the configuration, guarded for all others. */
export const issuersFetch = (guard: OutgoingGuard, { auth }: Pick<Config, "auth">): GuardedFetch =>
  createGuardedFetch(guard, trustsIssuers(auth.issuers))
