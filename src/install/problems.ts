import { type Order, requirementOf } from "./order.ts"

/** What an explanation needs to know of an order. */
export type Asked = Pick<Order, "type" | "name" | "version" | "before" | "registry" | "timeoutMs"> & {
  /** True if the registry's Secret has credentials. */
  readonly hasCredentials: boolean
}

/** One fault, by what a package manager writes of it. */
export type Row = {
  /** Stands in the output, whose lines are joined by blanks. Its first group, if any, is the package that is at fault. */
  readonly pattern: RegExp
  readonly problem: (asked: Asked, culprit: string | undefined) => string
}

const registryOf = ({ registry }: Asked): string =>
  registry === undefined ? "the registry" : `the registry ${new URL(registry).host}`

/** Who is at fault: the package itself, or one that it needs, which the output may name. */
const who = (asked: Asked, culprit: string | undefined): string => {
  const requirement = requirementOf(asked)
  if (culprit === undefined) return `${requirement}, or a package that it needs,`
  return culprit === requirement || culprit === asked.name ? culprit : `${culprit}, which ${requirement} needs,`
}

const writable = "Let the container's user write to the volume, e.g. by fsGroup."

/** The faults that both package managers tell of. */
export const problems = {
  fullDisk: () =>
    "The disk is full: the package and its dependencies do not fit. Use a larger volume, or free space on the node.",
  noVersion: (asked, culprit) =>
    `There is no ${culprit ?? requirementOf(asked)} in ${registryOf(asked)}${culprit === undefined || culprit === requirementOf(asked) ? "" : `, and ${requirementOf(asked)} needs it`}. Correct the version.`,
  tooEarly: (asked, culprit) =>
    `${who(asked, culprit)} is not in ${registryOf(asked)} with a date of ${asked.before} or earlier. Set before to a later day, or correct the version.`,
  unknown: (asked, culprit) =>
    `${who(asked, culprit)} is not in ${registryOf(asked)}. Correct the name or the registry; some registries hide a package from those who have no credentials for it.`,
  unauthorized: (asked) =>
    asked.hasCredentials
      ? `The credentials for ${asked.name} are refused by ${registryOf(asked)}. Correct the registry's Secret (token, or username and password).`
      : `Credentials for ${asked.name} are wanted by ${registryOf(asked)}, and there are none. Make the registry's Secret (token, or username and password) and name it in kubernetes.packages.${asked.type}.secret.`,
  forbidden: (asked) =>
    `The package ${asked.name}, or one that it needs, is forbidden by ${registryOf(asked)}. Let the registry's Secret have right credentials of an account that may read it.`,
  unreachable: (asked) =>
    `The connection to ${registryOf(asked)} failed. Correct its URL, start it, or allow connections to it (NetworkPolicies, firewalls).`,
  untrusted: (asked) =>
    `The certificate of ${registryOf(asked)} is not trusted here. Use an image that trusts it, with SSL_CERT_FILE and NODE_EXTRA_CA_CERTS.`,
  changed: (asked) =>
    `A package has other content than ${registryOf(asked)} announced: it was changed on its way, or in the registry. Nothing of it is used.`,
  outside: (asked) =>
    `${who(asked, undefined)} depends on a git repository or a folder, whose code would run while it is installed. Set allowScripts: true if you trust all of it, or use another version.`,
  broken: (asked) =>
    `${requirementOf(asked)} was not installed because ${registryOf(asked)} answers with errors. Its log says more; try again later.`,
  conflict: (asked) =>
    `The packages that ${requirementOf(asked)} needs do not fit together. Try another version, or another day for before.`,
  notWritable: () => `The package manager may not write into a folder. ${writable}`,
  wrongPlatform: (asked) =>
    `${who(asked, undefined)} is not for this platform (${process.platform}, ${process.arch}). Use another version, or nodes of another kind.`,
  wrongInterpreter: (asked, culprit) =>
    `${who(asked, culprit)} is not for the ${asked.type === "npm" ? "Node" : "Python"} of this image. Use an image with another version (kubernetes.packages.${asked.type}.image), or another version of the package.`,
  script: (asked) => `An install script of ${who(asked, undefined)} failed. Its last lines say why.`,
  onlySources: (asked, culprit) =>
    `${who(asked, culprit)} has no wheel for this platform and Python, only sources. Set allowScripts: true to build them, or use another version or image.`,
  notBuilt: (asked, culprit) => `${who(asked, culprit)} cannot be built here. Its last lines say why.`,
  noDates: (asked) =>
    `Packages in ${registryOf(asked)} have no dates, so before cannot be obeyed. Remove before, or use an index with upload times.`,
} as const satisfies Readonly<Record<string, Row["problem"]>>
