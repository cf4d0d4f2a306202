/** Where `--role dev` keeps installed packages, and what npm and uv get to know of this machine. */
import { join } from "node:path"
import type { LocalPackages } from "../../operator/desired/local-packages.ts"
import { installerCommand } from "./bridge-command.ts"

type Environment = Readonly<Record<string, string | undefined>>

/** Variables by which npm, uv and pip find registries, proxies and certificates. */
const passed = new Set([
  "npm_config_cafile",
  "npm_config_globalconfig",
  "npm_config_https_proxy",
  "npm_config_noproxy",
  "npm_config_proxy",
  "npm_config_registry",
  "npm_config_userconfig",
  "uv_config_file",
  "uv_default_index",
  "uv_find_links",
  "uv_index",
  "uv_index_url",
  "uv_extra_index_url",
  "uv_cache_dir",
  "uv_native_tls",
  "uv_no_cache",
  "uv_offline",
  "http_proxy",
  "https_proxy",
  "all_proxy",
  "no_proxy",
])

/** The part of this process's environment that the installer gets besides what every server gets. */
const installerEnvironment = (environment: Environment): Record<string, string> =>
  Object.fromEntries(
    Object.entries(environment).flatMap(([name, value]) =>
      value !== undefined && passed.has(name.toLowerCase()) ? [[name, value]] : [],
    ),
  )

/** The user's folder of caches (XDG Base Directory Specification), absolute. */
const cacheFolder = ({ XDG_CACHE_HOME: cache = "", HOME: home = "" }: Environment, workingDirectory: string): string =>
  cache.startsWith("/") ? cache : join(home.startsWith("/") ? home : workingDirectory, ".cache")

/** How packages are installed on this machine: `~/.cache/reflow/packages` keeps them. `argv`: process.argv. */
export const localPackages = (
  environment: Environment,
  argv: readonly string[],
  workingDirectory: string,
): LocalPackages => ({
  command: installerCommand(argv),
  folder: join(cacheFolder(environment, workingDirectory), "reflow", "packages"),
  environment: installerEnvironment(environment),
})
