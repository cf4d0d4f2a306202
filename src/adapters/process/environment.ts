import { expand, overExpandedBy } from "../../api/expansion.ts"
import type { Container, EnvValueSource } from "../../api/kinds/pod.ts"

type Variables = Readonly<Record<string, string>>

/** What a container's environment is made of. */
type EnvironmentInput = {
  readonly container: Container
  /** Values of the Secrets that `envFrom` and `valueFrom` name, by the Secret's name; optional ones may be absent. */
  readonly secrets: ReadonlyMap<string, Variables>
  /** The Pod's fields by their paths, for `fieldRef`. */
  readonly field: (path: string) => string | undefined
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

const isUsable = (name: string): boolean => name !== "" && !/[=\0]/.test(name)

const fromSecrets = ({ container: { envFrom = [] }, secrets }: EnvironmentInput): Record<string, string> =>
  Object.fromEntries(
    envFrom
      .flatMap(({ prefix = "", secretRef }) =>
        Object.entries(secrets.get(secretRef?.name ?? "") ?? {}).map(
          ([name, value]) => [prefix + name, value] as const,
        ),
      )
      .filter(([name]) => isUsable(name)),
  )

/** The value that a variable refers to; undefined where an optional one is absent. */
const valueFor = (
  { secretKeyRef, fieldRef }: EnvValueSource,
  { secrets, field }: EnvironmentInput,
): string | undefined => {
  if (fieldRef !== undefined) return field(fieldRef.fieldPath)
  const values = secrets.get(secretKeyRef?.name ?? "") ?? {}
  const key = secretKeyRef?.key ?? ""
  return Object.hasOwn(values, key) ? values[key] : undefined
}

/** The Secrets' values that single variables refer to. */
const referred = (input: EnvironmentInput): readonly string[] =>
  (input.container.env ?? []).flatMap(({ valueFrom }) =>
    valueFrom?.secretKeyRef === undefined ? [] : (valueFor(valueFrom, input) ?? []),
  )

/** A text that stands for `value` where `$(NAME)` is replaced: a value from elsewhere is taken as it is. */
const unexpanded = (value: string): string => value.replaceAll("$", "$$$$")

/**
 * The container's `env` as it is on this machine. The operator says HOME=/tmp, since a container's root file system is
 * read-only. On a laptop the user's own HOME is right: npx and uvx keep their caches there, and a cold start without
 * them takes minutes.
 */
const localEnv = (input: EnvironmentInput) => {
  const { base, port } = input
  return (input.container.env ?? []).flatMap(({ name, value = "", valueFrom }) => {
    if (name === "PORT") return [{ name, value: String(port) }]
    if (valueFrom === undefined)
      return [{ name, value: name === "HOME" && value === "/tmp" ? (base.HOME ?? value) : value }]
    const found = valueFor(valueFrom, input)
    return found === undefined ? [] : [{ name, value: unexpanded(found) }]
  })
}

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
 * command line by all of them, but by nothing of the base, which a container has not. Values of Secrets and of the Pod's
 * fields stay as they are.
 */
export const resolveContainer = (input: EnvironmentInput): ResolvedContainer => {
  const { container, base, port } = input
  const { command = [], args = [] } = container
  const before = { ...fromSecrets(input), PORT: String(port) }
  const env = localEnv(input)
  const about = { program: command[0] ?? "", secretValues: [...Object.values(fromSecrets(input)), ...referred(input)] }
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
