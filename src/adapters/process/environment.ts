import { expand, overExpandedBy } from "../../api/expansion.ts"
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
  /** The program as the Pod names it, before `$(NAME)` is replaced: what may be shown to others. */
  readonly program: string
  /** The Secrets' values, so that they can be kept out of what others see. */
  readonly secretValues: readonly string[]
  /** Why `$(NAME)` makes too much of it; then there are neither words nor variables. */
  readonly tooLong?: string
}

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

/**
 * The container's `env` as it is on this machine. The operator says HOME=/tmp, since a container's root file system is
 * read-only. On a laptop the user's own HOME is right: npx and uvx keep their caches there, and a cold start without
 * them takes minutes.
 */
const localEnv = ({ container: { env = [] }, base, port }: EnvironmentInput) =>
  env.map(({ name, value = "" }) => {
    if (name === "PORT") return { name, value: String(port) }
    return { name, value: name === "HOME" && value === "/tmp" ? (base.HOME ?? value) : value }
  })

type Env = ReturnType<typeof localEnv>

/** What is expanded and known before `env`: the Secrets and PORT, which a Pod without templates names first. */
const withEnv = (before: Variables, env: Env): Map<string, string> => {
  const variables = new Map(Object.entries(before))
  for (const { name, value } of env)
    variables.set(
      name,
      expand(value, (each) => variables.get(each)),
    )
  return variables
}

const bytesOf = (variables: Variables): Map<string, number> =>
  new Map(Object.entries(variables).map(([name, value]) => [name, Buffer.byteLength(value)]))

/**
 * Environment and command line of a container: base, then Secrets, then `env`, then PORT. Nothing of this process's own
 * environment gets in. `$(NAME)` is replaced as on a cluster: in `env` by Secrets and what stands before it, in the
 * command line by all of them, but by nothing of the base, which a container has not. Secrets' values stay as they are.
 */
export const resolveContainer = (input: EnvironmentInput): ResolvedContainer => {
  const { container, base, port } = input
  const { command = [], args = [] } = container
  const before = { ...fromSecrets(input), PORT: String(port) }
  const env = localEnv(input)
  const about = { program: command[0] ?? "", secretValues: Object.values(fromSecrets(input)) }
  const tooLong = overExpandedBy({ env, command, args }, bytesOf(before))
  if (tooLong !== undefined) return { ...about, argv: [], variables: {}, tooLong }
  const known = withEnv(before, env)
  return {
    ...about,
    argv: [...command, ...args].map((word) => expand(word, (name) => known.get(name))),
    variables: { ...base, ...Object.fromEntries(known), PORT: String(port) },
  }
}

/** What makes it impossible to start with this command line and environment; undefined if nothing does. */
export const unusablePart = ({ argv, variables, tooLong }: ResolvedContainer): string | undefined => {
  if (tooLong !== undefined) return tooLong
  if (argv.some((word) => word.includes("\0"))) return "the command contains a NUL character"
  const bad = Object.keys(variables).find((name) => variables[name]?.includes("\0"))
  return bad === undefined ? undefined : `the value of environment variable ${bad} contains a NUL character`
}
