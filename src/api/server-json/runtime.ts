/** Arguments of npx, uvx and docker: what a target says in fields of its own, and what it refuses. */

import { addDockerArguments, type Published } from "./docker.ts"
import type { Argument, PackageOffer } from "./document.ts"
import { type Draft, shown } from "./draft.ts"

/** What the arguments of a runtime say of the target. */
export type RuntimeFacts = {
  /** The package's program to run. */
  readonly bin?: string
  /** Ports that docker would publish. */
  readonly published?: readonly Published[]
}

const runtimes: Readonly<Record<string, readonly string[]>> = {
  npm: ["npx"],
  pypi: ["uvx"],
  oci: ["docker", "podman"],
}

/** The fixed words of an argument; undefined if the caller has a say in it. */
const fixedWords = ({ type, name, value, variables }: Argument): readonly string[] | undefined => {
  if (variables.size > 0) return undefined
  if (type === "named") return value === undefined || value === "" ? [name] : [name, value]
  return value === undefined ? undefined : [value]
}

const notOurs = "is an argument of the runtime, which does not run here: the package's program is run directly"

/** `npx -y NAME@VERSION`: says nothing more than the package itself does. */
const addNpxArguments = (draft: Draft, { runtimeArguments, identifier, version }: PackageOffer): RuntimeFacts => {
  const idle = ["-y", "--yes", identifier, `${identifier}@${version}`]
  for (const argument of runtimeArguments)
    if (fixedWords(argument)?.every((word) => idle.includes(word)) !== true) draft.fault(argument.path, notOurs)
  return {}
}

const binPattern = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/

/** `uvx --from NAME==VERSION PROGRAM`: says which program it is, if it is the package's. */
const addUvxArguments = (draft: Draft, { runtimeArguments, identifier, version }: PackageOffer): RuntimeFacts => {
  const same = [identifier, `${identifier}==${version}`, `${identifier}@${version}`]
  let from = false
  let bin: string | undefined
  let isValue = false
  for (const argument of runtimeArguments)
    for (const word of fixedWords(argument) ?? [""]) {
      if (isValue || word.startsWith("--from=")) {
        const named = isValue ? word : word.slice("--from=".length)
        if (!same.includes(named)) draft.fault(argument.path, "must name the package itself, with its version")
        from = true
        isValue = false
      } else if (word === "--from") isValue = true
      else if (from && bin === undefined && binPattern.test(word)) bin = word
      else if (!same.includes(word)) draft.fault(argument.path, notOurs)
    }
  return bin === undefined || bin === identifier ? {} : { bin }
}

/** Reads the arguments of a package's runtime into the draft. */
export const addRuntimeArguments = (draft: Draft, offer: PackageOffer): RuntimeFacts => {
  const { registryType, runtimeHint, runtimeArguments } = offer
  if (runtimeArguments.length === 0) return {}
  const known = runtimes[registryType] ?? []
  if (runtimeHint !== undefined && !known.includes(runtimeHint)) {
    draft.fault(
      [...offer.path, "runtimeHint"],
      `has arguments for ${shown(runtimeHint, 64)}: only those of ${known.join(", ")} are understood`,
    )
    return {}
  }
  if (registryType === "npm") return addNpxArguments(draft, offer)
  return registryType === "pypi" ? addUvxArguments(draft, offer) : addDockerArguments(draft, offer)
}
