import { type Order, requirementOf } from "./order.ts"

/** How npm behaves whoever configured it: it asks nobody, tells nobody, and gives up soon where nobody answers. */
const manners: readonly string[] = [
  "--global=false",
  "--location=project",
  "--workspaces=false",
  "--dry-run=false",
  "--save=false",
  "--package-lock=false",
  "--package-lock-only=false",
  "--omit=dev",
  "--audit=false",
  "--fund=false",
  "--update-notifier=false",
  "--progress=false",
  "--color=false",
  "--loglevel=warn",
  "--logs-max=0",
  "--fetch-retries=2",
  "--fetch-retry-factor=2",
  "--fetch-retry-mintimeout=250",
  "--fetch-retry-maxtimeout=1000",
  "--fetch-timeout=60000",
]

/**
 * Keeps code of packages from running. A dependency from git is cloned, and npm runs in the clone, by the clone's own
 * configuration, which may name a program: so there is no git. Older versions of npm do not know `allow-git`. Folders of
 * this machine are none of a package's business.
 */
const withoutCode: readonly string[] = [
  "--ignore-scripts=true",
  "--allow-git=none",
  "--git=/dev/null",
  "--allow-directory=none",
  "--allow-file=none",
]

/** The first moment after a day, UTC. */
export const dayAfter = (day: string): string => new Date(Date.parse(`${day}T00:00:00Z`) + 86_400_000).toISOString()

/**
 * The arguments with which npm installs a package into `folder`. `userConfiguration`: a file with the registry's
 * credentials; undefined: that of the user.
 */
export const npmArguments = (
  order: Pick<Order, "type" | "name" | "version" | "before" | "registry" | "allowScripts">,
  folder: string,
  userConfiguration: string | undefined,
): readonly string[] => [
  "install",
  `--prefix=${folder}`,
  ...manners,
  // newer versions of npm have a list of packages whose scripts run, and keep the others from it
  ...(order.allowScripts ? ["--ignore-scripts=false", "--dangerously-allow-all-scripts=true"] : withoutCode),
  ...(order.registry === undefined ? [] : [`--registry=${order.registry}`]),
  ...(order.before === undefined ? [] : [`--before=${order.before}T23:59:59.999Z`]),
  ...(userConfiguration === undefined ? [] : [`--userconfig=${userConfiguration}`]),
  "--",
  requirementOf(order),
]

/** Most names that are looked at. */
const mostPackages = 100_000

/** Names of the packages of an installed tree that have install scripts. `lockfile`: node_modules/.package-lock.json. */
export const withScripts = (lockfile: string): readonly string[] => {
  try {
    const { packages } = JSON.parse(lockfile) as { readonly packages?: Readonly<Record<string, unknown>> }
    const names = Object.entries(packages ?? {})
      .slice(0, mostPackages)
      .filter(([, entry]) => (entry as { hasInstallScript?: unknown } | null)?.hasInstallScript === true)
      .map(([path]) => path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length))
    return [...new Set(names)].sort()
  } catch {
    return []
  }
}
