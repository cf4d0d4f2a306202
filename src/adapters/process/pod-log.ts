import { AppError } from "../../errors.ts"
import type { LogQuery } from "../../ports/cluster.ts"
import type { PodContainer, PodContainers } from "./pod-container.ts"

/** Reads the logs of a Pod's containers. */
export type PodLog = {
  /** The log of a container; empty before its first run. Throws `ApiInvalid` for a container that the node does not run. */
  read(query: LogQuery): string
  /**
   * The log of the container's newest run as it is written; ends with that run, or at once if there was none. Throws
   * `ApiInvalid` as {@link read}.
   */
  follow(query: LogQuery, signal: AbortSignal | undefined): AsyncIterable<string>
}

/** The container that a query names; the server's by default. The error is like that of an API server. */
const containerOf = ({ server, inits }: PodContainers, name: string | undefined, podName: string): PodContainer => {
  const found = name === undefined ? server : [server, ...inits].find(({ container }) => container.name === name)
  if (found !== undefined) return found
  throw new AppError("ApiInvalid", { detail: `container ${name} is not valid for pod ${podName}` })
}

const read = ({ view, rings }: PodContainer, { previous, ...query }: LogQuery): string => {
  const isWaiting = view.state.waiting !== undefined
  // while the next run waits, the newest ring is the log of the run before the restart
  const ring = previous === true && !isWaiting ? rings.at(-2) : rings.at(-1)
  const exists = previous !== true || view.lastState !== undefined
  return exists ? (ring?.read(query) ?? "") : ""
}

const nothing = async function* (): AsyncGenerator<string> {}

/** Makes the reader of a Pod's logs. */
export const createPodLog = (podName: string, containers: PodContainers): PodLog => ({
  read: (query) => read(containerOf(containers, query.container, podName), query),
  follow: (query, signal) =>
    containerOf(containers, query.container, podName).rings.at(-1)?.follow(query, signal) ?? nothing(),
})
