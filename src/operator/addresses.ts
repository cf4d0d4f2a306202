import { defaultPath } from "../api/container.ts"
import { labels } from "../api/labels.ts"
import type { Pod } from "../api/pod.ts"
import type { Snapshot } from "./snapshot.ts"

const bracketed = (host: string): string => (host.includes(":") ? `[${host}]` : host)

/** The port that the embedded cluster's node gave to the Pod. */
const nodePort = (pod: Pod | undefined): number | undefined => {
  const port = Number(pod?.metadata.annotations?.[labels.nodePort])
  return Number.isInteger(port) && port > 0 ? port : undefined
}

/** Where the instance's MCP endpoint is: through its Service, and at the Pod itself; undefined while not known. */
export const addressesOf = (
  { instance, service, settings }: Pick<Snapshot, "instance" | "service" | "settings">,
  pod: Pod | undefined,
): { readonly url: string | undefined; readonly podURL: string | undefined } => {
  const port = settings.embedded ? nodePort(pod) : instance.spec.port
  const urlOf = (host: string | undefined) =>
    host === undefined || host === "" || host === "None" || port === undefined
      ? undefined
      : `http://${bracketed(host)}:${port}${instance.spec.path ?? defaultPath}`
  return { url: urlOf(service?.spec.clusterIP), podURL: urlOf(pod?.status?.podIP) }
}
