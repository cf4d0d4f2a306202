/**
 * A published package as a server: what a target says of it. The names are those of the MCP registry's server.json
 * (https://modelcontextprotocol.io, «Publishing»).
 */
import { z } from "zod"
import { form } from "../units.ts"
import type { Rule } from "./kind.ts"

/** Registries whose packages can be run. */
export const packageTypes = ["npm", "pypi"] as const
/** A registry whose packages can be run. */
export type PackageType = (typeof packageTypes)[number]

/** Most characters of an npm package's name, scope included (npm, «package.json», name). */
const longestName = 214
/** Most characters of a version. */
const longestVersion = 128

/** Names of packages, by registry. No name can be a flag, a path, a URL or a range. */
export const identifierPatterns: Readonly<Record<PackageType, RegExp>> = {
  // npm: lower case, in a scope or not; validate-npm-package-name
  npm: /^(@[a-z0-9][a-z0-9._-]{0,212}\/)?[a-z0-9][a-z0-9._-]{0,212}$/,
  // PEP 508, «Names»
  pypi: /^[A-Za-z0-9]([A-Za-z0-9._-]{0,212}[A-Za-z0-9])?$/,
}

/** Exact versions, by registry; a range or a tag such as `latest` is none. */
export const versionPatterns: Readonly<Record<PackageType, RegExp>> = {
  // Semantic Versioning 2.0.0, without build metadata, which npm drops
  npm: /^[0-9]{1,16}\.[0-9]{1,16}\.[0-9]{1,16}(-[0-9A-Za-z-]{1,32}(\.[0-9A-Za-z-]{1,32}){0,8})?$/,
  // PEP 440, in its normal form
  pypi: /^([0-9]{1,8}!)?[0-9]{1,16}(\.[0-9]{1,16}){0,8}((a|b|rc)[0-9]{1,16})?(\.post[0-9]{1,16})?(\.dev[0-9]{1,16})?(\+[a-z0-9]{1,32}(\.[a-z0-9]{1,32}){0,8})?$/,
}

/** A day, e.g. `2026-11-01`. */
export const dayPattern = /^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$/

/** An http(s) URL of a registry: a host, a port and a path, nothing that could hold a credential or a command. */
export const registryUrlPattern = /^https?:\/\/[A-Za-z0-9.-]+(:[0-9]{1,5})?(\/[A-Za-z0-9._~/-]*)?$/

const Package = z
  .object({
    registryType: z.enum(packageTypes).describe("The registry's kind: npm or pypi."),
    identifier: z
      .string()
      .min(1)
      .max(longestName)
      .describe("Name of the package, e.g. @modelcontextprotocol/server-memory."),
    version: z
      .string()
      .min(1)
      .max(longestVersion)
      .describe("Exact version; ranges and tags such as latest are refused, since they change under the user."),
    before: form(dayPattern, 10, "must be a day such as 2026-11-01")
      .optional()
      .describe(
        "Install all packages as they were at the end of this day (npm --before, uv --exclude-newer). Default: the newest that fit.",
      ),
    registryBaseUrl: form(
      registryUrlPattern,
      1024,
      "must be an http(s) URL without user, query and fragment, e.g. https://npm.example.com",
    )
      .optional()
      .describe("URL of the registry, for pypi of its simple index; default: the configured one."),
    bin: form(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/, 128, "must be the name of a program of the package")
      .optional()
      .describe("The package's program to run; default: the one named like the package, or its only one."),
    allowScripts: z
      .boolean()
      .optional()
      .describe(
        "True: install scripts of all packages run (npm), and sources are built (pypi), in the init container. Default false.",
      ),
  })
  .describe("A published package whose program is the server; instead of image and command.")
/** A published package whose program is the server. */
export type Package = z.infer<typeof Package>

/** The field of both kinds about a published package. */
export const packageFields = { package: Package.optional() }

/** A rule on one field of a package, whose pattern depends on the registry. */
const patternRule = (
  field: "identifier" | "version",
  patterns: Readonly<Record<PackageType, RegExp>>,
  message: string,
): Rule => ({
  path: "spec.package",
  field,
  cel: packageTypes
    .map(
      (type) => `(self.registryType == '${type}' && self.${field}.matches(${JSON.stringify(patterns[type].source)}))`,
    )
    .join(" || "),
  message,
  holds: (self: Package) => patterns[self.registryType].test(self[field]),
})

type Spec = {
  readonly package?: Package | undefined
  readonly image?: string | undefined
  readonly command?: readonly string[] | undefined
}

const refusedBeside = (field: "image" | "command"): Rule => ({
  path: "spec",
  field,
  cel: `!has(self.package) || !has(self.${field})`,
  message: `${field} cannot be used with package: the package's program is run by the configured runner image`,
  holds: (spec: Spec) => spec.package === undefined || spec[field] === undefined,
})

/** Rules about packages that a schema cannot express. */
export const packageRules: readonly Rule[] = [
  refusedBeside("image"),
  refusedBeside("command"),
  patternRule("identifier", identifierPatterns, "must be the name of a package in the registry, without version"),
  patternRule("version", versionPatterns, "must be one exact version such as 1.4.2; ranges and tags are refused"),
]

/** A package as people write it, e.g. `npm @x/mcp@1.2.3`. */
export const packageText = ({ registryType, identifier, version }: Package): string =>
  `${registryType} ${identifier}${registryType === "npm" ? "@" : "=="}${version}`
