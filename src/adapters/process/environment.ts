import type { Container } from "../../api/pod.ts"

type Variables = Readonly<Record<string, string>>

/** What a container's environment is made of. */
export type EnvironmentInput = {
  readonly container: Container
  /** Values of the Secrets that `envFrom` names, by the Secret's name; optional ones may be absent. */
  readonly secrets: ReadonlyMap<string, Variables>
  /** The machine's own: PATH, HOME, LANG, TMPDIR and the like. The weakest. */
  readonly base: Variables
  /** Port that the node gives to the container. The strongest. */
  readonly port: number
}

/** An environment and command line ready to start. */
export type ResolvedContainer = {
  readonly argv: readonly string[]
  readonly variables: Variables
  /** The Secrets' values, so that they can be kept out of what others see. */
  readonly secretValues: readonly string[]
}

/**
 * Replaces `$(NAME)` by the variable's value, `$$(NAME)` by `$(NAME)`; unknown names stay as they are (Kubernetes'
 * rule for command, args and env values).
 */
export const expand = (text: string, variables: Variables): string =>
  text.replace(/\$\$|\$\(([^()]*)\)/g, (match, name?: string) => {
    if (match === "$$") return "$"
    return name !== undefined && Object.hasOwn(variables, name) ? (variables[name] ?? "") : match
  })

/** Names of the Secrets that must exist before the container can start. */
export const requiredSecrets = (container: Container): string[] =>
  (container.envFrom ?? []).flatMap(({ secretRef }) => (secretRef.optional === true ? [] : [secretRef.name]))

/** Names of all Secrets that the container takes variables from. */
export const namedSecrets = (container: Container): string[] =>
  (container.envFrom ?? []).map(({ secretRef }) => secretRef.name)

const isUsable = (name: string): boolean => name !== "" && !/[=\0]/.test(name)

const fromSecrets = ({ container, secrets }: EnvironmentInput): Record<string, string> =>
  Object.fromEntries(
    namedSecrets(container)
      .flatMap((name) => Object.entries(secrets.get(name) ?? {}))
      .filter(([name]) => isUsable(name)),
  )

/** Values of `env` in order: each may name what came before it. */
const withEnv = (container: Container, before: Variables, port: number): Record<string, string> => {
  const variables: Record<string, string> = { ...before }
  for (const { name, value = "" } of container.env ?? []) {
    // The operator says HOME=/tmp, since a container's root file system is read-only. On a laptop the user's own HOME
    // is right: npx and uvx keep their caches there, and a cold start without them takes minutes.
    if (name === "HOME" && value === "/tmp") continue
    variables[name] = name === "PORT" ? String(port) : expand(value, variables)
  }
  return { ...variables, PORT: String(port) }
}

/**
 * Environment and command line of a container: base, then Secrets, then `env`, then PORT. Nothing of this process's own
 * environment gets in. `$(NAME)` in the command line stands for PORT and plain variables only: everyone on the machine
 * can read a command line, so a Secret's value never gets there, other than on a cluster.
 */
export const resolveContainer = (input: EnvironmentInput): ResolvedContainer => {
  const { container, base, port } = input
  const secret = fromSecrets(input)
  const plain = withEnv(container, { PORT: String(port) }, port)
  const words = [...(container.command ?? []), ...(container.args ?? [])]
  return {
    argv: words.map((word) => expand(word, plain)),
    variables: { ...base, ...withEnv(container, { ...secret, PORT: String(port) }, port) },
    secretValues: Object.values(secret),
  }
}

/** What makes it impossible to start with this command line and environment; undefined if nothing does. */
export const unusablePart = ({ argv, variables }: ResolvedContainer): string | undefined => {
  if (argv.some((word) => word.includes("\0"))) return "the command contains a NUL character"
  const bad = Object.keys(variables).find((name) => variables[name]?.includes("\0"))
  return bad === undefined ? undefined : `the value of environment variable ${bad} contains a NUL character`
}

/** Lines of a longer value that are hidden on their own, too: keys are printed line by line. */
const shortestLine = 8

const spellings = (value: string): string[] => {
  const lines = value.split(/\r?\n/).map((line) => line.trim())
  return [value, value.trim(), ...lines.filter((line) => line.length >= shortestLine)]
}

/** `text` without the given secret values; blank ones stay. */
export const withoutSecrets = (text: string, values: readonly string[]): string =>
  [...new Set(values.filter((value) => value.trim() !== "").flatMap(spellings))]
    .sort((a, b) => b.length - a.length)
    .reduce((rest, value) => rest.replaceAll(value, "•••"), text)
