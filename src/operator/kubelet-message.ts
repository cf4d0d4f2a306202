import { serverContainer } from "../api/kinds/pod.ts"
import type { KeptContainer, KeptPod } from "./kept.ts"

/** Reasons whose message quotes the container's command line or environment, which may hold a secret. */
export const mayQuote = /^(?:Run|Create)Container/

/** Reasons whose message is written after `$(NAME)` was expanded: the expanded text may be a secret. */
const afterExpansion = new Set(["RunContainerError", "CreateContainerError", "CreateContainerConfigError"])

/** Messages about a missing Secret or a missing key in one: they have names only, no value. */
const secretMessage = /^(secret "[-.a-z0-9]+" not found|couldn't find key [-._a-zA-Z0-9]+ in Secret [-./a-z0-9]+)$/

/** Replacement for a message that is not repeated. */
const unrepeated = "see the status of its Pod; the cause is not repeated here, since its $(NAME) may be a secret"

const expands = ({ command = [], args = [], volumeMounts = [] }: KeptContainer): boolean =>
  JSON.stringify([command, args, volumeMounts]).includes("$(")

/**
 * `detail`, the kubelet's message about a container that did not start for `reason`, as it may be shown in status,
 * Events, logs and responses. A runtime quotes the program that it did not find; without an entrypoint that is the
 * first argument. So the message is replaced if the container has a `$(NAME)` in its command line or mounts: the
 * operator may not read the value of NAME.
 */
export const repeatable = (pod: KeptPod, reason: string, detail: string): string => {
  if (detail === "" || !afterExpansion.has(reason) || secretMessage.test(detail)) return detail
  const server = pod.spec.containers.find(({ name }) => name === serverContainer)
  return server === undefined || expands(server) ? unrepeated : detail
}
