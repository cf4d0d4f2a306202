/** What may be repeated of the words in which the kubelet and the container runtime tell why a container did not start. */
import { type Container, type Pod, serverContainer } from "../api/pod.ts"

/** Reasons whose words are written after `$(NAME)` was replaced, which may stand for a secret. */
const afterExpansion = new Set(["RunContainerError", "CreateContainerError", "CreateContainerConfigError"])

/** Words about a Secret that is missing or has no such key: they name it, and no value. */
const secretWords = /^(secret "[-.a-z0-9]+" not found|couldn't find key [-._a-zA-Z0-9]+ in Secret [-./a-z0-9]+)$/

/** What stands for words that are not repeated. */
const unrepeated = "its Pod's status tells, where $(NAME) may have become a secret"

const expands = ({ command = [], args = [], volumeMounts = [] }: Container): boolean =>
  JSON.stringify([command, args, volumeMounts]).includes("$(")

/**
 * `words` of a container that did not start for `reason`, as they may be repeated in status, Events, logs and answers. A
 * runtime quotes the program that it did not find, which is the first argument where the image has no entrypoint: where
 * the Pod has a `$(NAME)` in its command line, they are not repeated. The operator has no right to know what NAME is.
 */
export const repeatable = (pod: Pod, reason: string, words: string): string => {
  if (words === "" || !afterExpansion.has(reason) || secretWords.test(words)) return words
  const server = pod.spec.containers.find(({ name }) => name === serverContainer)
  return server === undefined || expands(server) ? unrepeated : words
}
