import type { PackageType } from "../api/kinds/package.ts"

/** What the installer was told to install, and where. All values were checked by {@link file://./flags.ts}. */
export type Order = {
  readonly type: PackageType
  /** Name of the package in its registry, without version. */
  readonly name: string
  /** One exact version. */
  readonly version: string
  /** Day, inclusive, UTC: newer versions of any package do not exist. */
  readonly before: string | undefined
  /** URL of the registry, for pypi of its simple index; undefined: the package manager's own. */
  readonly registry: string | undefined
  /** Folder with the files `token`, or `username` and `password`. It may be empty or absent. */
  readonly secretFolder: string | undefined
  /** The package's program; undefined: the one named like the package, or its only one. */
  readonly bin: string | undefined
  readonly allowScripts: boolean
  /** Folder of the trees of this package, one for each runtime. */
  readonly folder: string
  /** The same folder as the server sees it. */
  readonly seenAs: string
  /** Where the link to the program is put. */
  readonly link: string
  /** Folder for caches and temporary files, deleted at the end; undefined: the user's own are used. */
  readonly scratch: string | undefined
  readonly timeoutMs: number
  /** Where the report is written; undefined: nowhere, unless a kubelet waits for it. */
  readonly messageFile: string | undefined
}

/** Why an installation ended without a program. */
export type Failure = {
  /** One or two sentences: what is wrong, and what to do. */
  readonly problem: string
  /** The last lines of the package manager's output, without credentials. */
  readonly lines: readonly string[]
}

/** A failure that no output explains further. */
export const failure = (problem: string, lines: readonly string[] = []): Failure => ({ problem, lines })

/** True if `value` says why it does not exist. */
export const isFailure = (value: object): value is Failure => "problem" in value

/** The package as its package manager is told to install it. No part of it can be a flag, a path or a URL. */
export const requirementOf = ({ type, name, version }: Pick<Order, "type" | "name" | "version">): string =>
  type === "npm" ? `${name}@${version}` : `${name}==${version}`
