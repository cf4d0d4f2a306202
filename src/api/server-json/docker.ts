/** Flags of `docker run` in a document: variables are taken over, what an instance has anyway is dropped, the rest refused. */
import { envNamePattern } from "../kinds/container.ts"
import type { Argument, PackageOffer } from "./document.ts"
import { type Draft, shown } from "./draft.ts"
import { addVariable } from "./environment.ts"
import type { Path } from "./place.ts"

/** A port of the host, and the port of the container behind it. */
export type Published = { readonly host: number; readonly container: number; readonly path: Path }

/** Flags that say what holds for every instance anyway. */
const idle: readonly string[] = ["-i", "-t", "-it", "-ti", "--interactive", "--tty", "--rm", "--init", "-q", "--quiet"]
/** The same, with a value. */
const idleWithValue: readonly string[] = ["--pull", "--name", "--platform"]

const mounts = "mounts a file or folder of the user's machine, which no instance has"
const network = "asks for a network: an instance has the cluster's"
const rights = "asks for rights on the node, which no instance gets"

/** Flags that are refused, with the reason; all of them take a value but --privileged. */
const refusals: ReadonlyMap<string, string> = new Map([
  ...["-v", "--volume", "--mount", "--tmpfs", "--volumes-from"].map((flag) => [flag, mounts] as const),
  ["--env-file", "names a file of the user's machine, which no instance has"],
  ...["--network", "--net", "--add-host", "--dns", "-h", "--hostname"].map((flag) => [flag, network] as const),
  ...["--privileged", "--cap-add", "--security-opt", "--device", "--pid", "--ipc", "--userns", "--gpus"].map(
    (flag) => [flag, rights] as const,
  ),
  ...["-u", "--user"].map(
    (flag) => [flag, "is the target's security.runAsUser: an instance never runs as root"] as const,
  ),
  ["--entrypoint", "is the target's command: give command instead"],
])

const valued: readonly string[] = ["-e", "--env", "-p", "--publish", ...idleWithValue, ...refusals.keys()].filter(
  (flag) => flag !== "--privileged",
)

/** A flag with its value; no flag for a word that stands by itself. */
type Flag = { readonly flag: string | undefined; readonly value: Argument }

/** An argument as flag and value, where both are in it: `--env=A=b`. */
const split = (argument: Argument): Flag => {
  const text = argument.type === "named" ? argument.name : (argument.value ?? "")
  if (!text.startsWith("-")) return { flag: undefined, value: argument }
  const at = text.startsWith("--") ? text.indexOf("=") : -1
  if (at === -1) return { flag: text, value: argument.type === "named" ? argument : { ...argument, value: undefined } }
  return { flag: text.slice(0, at), value: { ...argument, value: text.slice(at + 1) } }
}

/** The flags in order; the value of a positional flag is the next argument. */
const flagsOf = (list: readonly Argument[]): readonly Flag[] => {
  const flags: Flag[] = []
  for (let index = 0; index < list.length; index++) {
    const argument = list[index]
    if (argument === undefined) break
    const each = split(argument)
    const takesNext =
      argument.type === "positional" &&
      each.flag !== undefined &&
      each.value.value === undefined &&
      valued.includes(each.flag)
    const next = takesNext ? list[index + 1] : undefined
    if (next !== undefined) index++
    flags.push(next === undefined ? each : { flag: each.flag, value: next })
  }
  return flags
}

/** `-e NAME=value` or `-e NAME`: a variable as one of environmentVariables. */
const addEnv = (draft: Draft, value: Argument, declared: ReadonlySet<string>): undefined => {
  const text = value.value ?? value.valueHint ?? ""
  const at = text.indexOf("=")
  const name = at === -1 ? text : text.slice(0, at)
  if (!envNamePattern.test(name)) return draft.fault(value.path, "must be NAME or NAME=VALUE")
  if (at === -1 && declared.has(name)) return
  addVariable(draft, { ...value, name, value: at === -1 ? undefined : text.slice(at + 1) })
}

const portsPattern = /^(?:[0-9.]{1,15}:)?([0-9]{1,5}):([0-9]{1,5})(?:\/tcp)?$/

const publishedBy = (draft: Draft, { path, value = "" }: Argument): readonly Published[] => {
  const [, host, container] = portsPattern.exec(value) ?? []
  if (host !== undefined && container !== undefined) return [{ host: Number(host), container: Number(container), path }]
  return draft.fault(path, "publishes a port of the user's machine: only HOST:CONTAINER in digits is understood") ?? []
}

/** Words that are no flag of their own: `run`, and the image itself. */
const isIdleWord = ({ value }: Argument, image: string): boolean =>
  value === "run" || value === image || value === "docker" || value === ""

/** Reads docker's arguments into the draft. */
export const addDockerArguments = (
  draft: Draft,
  { runtimeArguments, environmentVariables, identifier }: PackageOffer,
): { readonly published: readonly Published[] } => {
  const declared = new Set(environmentVariables.map(({ name }) => name))
  const published: Published[] = []
  for (const { flag, value } of flagsOf(runtimeArguments)) {
    if (flag === undefined) {
      if (!isIdleWord(value, identifier)) draft.fault(value.path, "is no flag of docker that a target has a field for")
    } else if (flag === "-e" || flag === "--env") addEnv(draft, value, declared)
    else if (flag === "-p" || flag === "--publish") published.push(...publishedBy(draft, value))
    else if (!idle.includes(flag) && !idleWithValue.includes(flag))
      draft.fault(
        value.path,
        `${shown(flag, 64)} ${refusals.get(flag) ?? "is a flag of docker that a target has no field for"}`,
      )
  }
  return { published }
}
