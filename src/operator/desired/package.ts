/** Where an instance's package is in its Pod, and how its program is started. */
import type { MCPInstanceSpec } from "../../api/kinds/mcp-instance.ts"
import type { Package, PackageType } from "../../api/kinds/package.ts"
import { installerContainer } from "../../api/kinds/pod.ts"
import { digest } from "../../api/names.ts"
import type { Settings } from "../snapshot.ts"
import { unexpanded } from "./bridge.ts"
import type { LocalPackages } from "./local-packages.ts"

/** Name of the volume that installer and server share; the installer's container has the same name. */
export const packageName = installerContainer

/** Name of the volume of the cache claim. */
export const cacheName = "reflow-packages"

/** Where the server sees what was installed for its Pod. */
export const packageFolder = "/reflow-package"

/** Where the server sees its tree of the cache claim. */
export const treeFolder = "/reflow-package-tree"

/** Names of the interpreters in the runner images. */
const interpreters: Readonly<Record<PackageType, string>> = { npm: "node", pypi: "python3" }

/** A registry without the slash at its end: two spellings of one URL are one registry. */
const plain = (url: string): string => url.replace(/\/$/, "")

/** URL of the registry that a package comes from; empty = the package manager's own default. */
export const registryOf = (named: Package, { packages }: Pick<Settings, "packages">): string =>
  named.registryBaseUrl ?? packages[named.registryType].registry

/** Name of the Secret with the registry's credentials; undefined if the configuration names none for this registry. */
export const registrySecret = (named: Package, settings: Pick<Settings, "packages">): string | undefined => {
  const { packages } = settings
  const own = packages[named.registryType]
  const url = plain(registryOf(named, settings))
  if (url === plain(own.registry)) return own.secret === "" ? undefined : own.secret
  return packages.registries.find((each) => plain(each.url) === url)?.secret
}

/**
 * Digest of everything that decides what is in an installed tree, and who may have it: other registries and other
 * credentials give other trees.
 */
export const treeDigest = (named: Package, settings: Settings): string => {
  const { registryType, identifier, version, before, bin, allowScripts = false } = named
  const runner = settings.localPackages === undefined ? settings.packages[registryType].image : "local"
  const registry = plain(registryOf(named, settings))
  const secret = registrySecret(named, settings)
  const parts = [registryType, identifier, version, before, bin, registry, secret, runner, allowScripts]
  return digest(20, JSON.stringify(parts))
}

/**
 * True if the Pod of a server mounts the cache claim: not with scripts, which could change other packages there, and not
 * as another user or group than all others, who could not write into the folders that it makes.
 */
export const usesCache = (
  { package: named, security = {} }: Pick<MCPInstanceSpec, "package" | "security">,
  settings: Pick<Settings, "packages" | "localPackages" | "run_as_user">,
): boolean => {
  const { packages, localPackages, run_as_user: usual } = settings
  const ids = [security.runAsUser, security.runAsGroup, security.fsGroup]
  const isUsual = ids.every((id) => id === undefined || id === usual)
  const isTrusted = named !== undefined && named.allowScripts !== true && isUsual
  return isTrusted && packages.cache_claim !== "" && localPackages === undefined
}

/** The folder of a package's tree on the embedded cluster. */
export const localFolder = (named: Package, settings: Settings, { folder }: LocalPackages): string =>
  `${folder}/${treeDigest(named, settings)}`

/** The link to the package's program, as the server sees it. */
export const programLink = (named: Package, settings: Settings): string => {
  const { localPackages } = settings
  return `${localPackages === undefined ? packageFolder : localFolder(named, settings, localPackages)}/bin`
}

/** The image of the server's container: the target's, or the runner of its package. */
export const imageOf = (
  { image, package: named }: MCPInstanceSpec,
  { packages }: Pick<Settings, "packages">,
): string => (named === undefined ? (image ?? "") : packages[named.registryType].image)

/** The command and arguments of a server as a container has them; absent = the image's own. */
export const serverLine = (
  spec: MCPInstanceSpec,
  settings: Settings,
): { readonly command?: readonly string[]; readonly args?: readonly string[] } => {
  const { package: named, command, args } = spec
  if (named === undefined)
    return { ...(command === undefined ? {} : { command }), ...(args === undefined ? {} : { args }) }
  const start = [interpreters[named.registryType], unexpanded(programLink(named, settings))]
  return { command: start, ...(args === undefined ? {} : { args }) }
}
