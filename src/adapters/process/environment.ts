import { expand, overExpandedBy } from "../../api/expansion.ts"
import type { Container, EnvValueSource } from "../../api/kinds/pod.ts"

type Variables = Readonly<Record<string, string>>

/** The sources of a container's environment. */
type EnvironmentInput = {
  readonly container: Container
  /** Values of the Secrets that `envFrom` and `valueFrom` name, by the Secret's name; optional ones may be absent. */
  readonly secrets: ReadonlyMap<string, Variables>
  /** The Pod's fields by their paths, for `fieldRef`. */
  readonly field: (path: string) => string | undefined
  /** Variables of this machine: PATH, HOME, LANG, TMPDIR and the like. All other sources override them. */
  readonly base: Variables
  /**
   * Port that the node gives to the server. Overrides a variable PORT of any other source. Absent for an init container,
   * which has none.
   */
  readonly port?: number | undefined
}

/** Command line and environment of a container, with all values resolved. */
export type ResolvedContainer = {
  readonly argv: readonly string[]
  readonly variables: Variables
  /** The program as in the Pod, with `$(NAME)` not replaced, so that messages can show it without a secret. */
  readonly program: string
  /** The values from Secrets, so that they can be removed from messages. */
  readonly secretValues: readonly string[]
  /** A message if expanding `$(NAME)` gives too many bytes; `argv` and `variables` are then empty. */
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

/** The value that a variable refers to; undefined if an optional source does not exist. */
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

/** `value` with `$` escaped, so that the expansion of `$(NAME)` leaves it unchanged. */
const unexpanded = (value: string): string => value.replaceAll("$", "$$$$")

/**
 * The container's `env`, adapted to this machine. The operator sets HOME=/tmp, since a container's root file system is
 * read-only. Here HOME is the user's own: npx and uvx have their caches there, and a start without them takes minutes.
 */
const localEnv = (input: EnvironmentInput) => {
  const { base, port } = input
  return (input.container.env ?? []).flatMap(({ name, value = "", valueFrom }) => {
    if (name === "PORT" && port !== undefined) return [{ name, value: String(port) }]
    if (valueFrom === undefined)
      return [{ name, value: name === "HOME" && value === "/tmp" ? (base.HOME ?? value) : value }]
    const found = valueFor(valueFrom, input)
    return found === undefined ? [] : [{ name, value: unexpanded(found) }]
  })
}

type Env = ReturnType<typeof localEnv>

/** All variables after `env` was expanded. `before` has those set before: the Secrets' values and PORT. */
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
 * Command line and environment of a container. Later sources override earlier ones: base, Secrets, `env`, PORT. No
 * other variable of this process is passed on. `$(NAME)` is replaced as on a cluster: in `env` by values of Secrets and
 * earlier variables, in the command line by all of these, but never by variables of `base`, which a real container does
 * not have. Values from Secrets and from the Pod's fields are not expanded.
 */
export const resolveContainer = (input: EnvironmentInput): ResolvedContainer => {
  const { container, base, port } = input
  const { command = [], args = [] } = container
  const given = port === undefined ? {} : { PORT: String(port) }
  const before = { ...fromSecrets(input), ...given }
  const env = localEnv(input)
  const about = { program: command[0] ?? "", secretValues: [...Object.values(fromSecrets(input)), ...referred(input)] }
  const tooLong = overExpandedBy({ env, command, args }, bytesOf(before))
  if (tooLong !== undefined) return { ...about, argv: [], variables: {}, tooLong }
  const known = withEnv(before, env)
  return {
    ...about,
    argv: [...command, ...args].map((word) => expand(word, (name) => known.get(name))),
    variables: { ...base, ...Object.fromEntries(known), ...given },
  }
}

/** Why a process cannot be started with this command line and environment; undefined if it can. */
export const unusablePart = ({ argv, variables, tooLong }: ResolvedContainer): string | undefined => {
  if (tooLong !== undefined) return tooLong
  if (argv.some((word) => word.includes("\0"))) return "the command contains a NUL character"
  const bad = Object.keys(variables).find((name) => variables[name]?.includes("\0"))
  return bad === undefined ? undefined : `the value of environment variable ${bad} contains a NUL character`
}
