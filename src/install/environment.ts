import { join } from "node:path"
import type { Order } from "./order.ts"

/** Variables of a process. */
export type Environment = Readonly<Record<string, string>>

/** What npm and uv may inherit into a scratch folder: how to reach a registry, whom to trust, and how time is shown. */
const inherited: readonly string[] = [
  "PATH",
  "HTTP_PROXY",
  "HTTPS_PROXY",
  "ALL_PROXY",
  "NO_PROXY",
  "http_proxy",
  "https_proxy",
  "all_proxy",
  "no_proxy",
  "SSL_CERT_FILE",
  "SSL_CERT_DIR",
  "NODE_EXTRA_CA_CERTS",
  "TZ",
]

/** True if a proxy stands between this machine and registries. */
export const hasProxy = (environment: Environment): boolean =>
  Object.keys(environment).some((name) => /^(http|https|all)_proxy$/i.test(name))

/** Folders in a scratch folder. */
export const scratchFolders = { home: "home", temporary: "tmp", npm: "npm", uv: "uv" } as const

/**
 * The variables of the programs that install. In a scratch folder they get nothing else of `own`: what this process was
 * started with is none of a package's business. Without one, they work as they do for the user.
 */
export const environmentOf = (
  { scratch }: Pick<Order, "scratch">,
  own: Readonly<Record<string, string | undefined>>,
): Environment => {
  const given = Object.entries(own).filter((entry): entry is [string, string] => entry[1] !== undefined)
  if (scratch === undefined) return Object.fromEntries(given)
  return {
    ...Object.fromEntries(given.filter(([name]) => inherited.includes(name))),
    HOME: join(scratch, scratchFolders.home),
    TMPDIR: join(scratch, scratchFolders.temporary),
    npm_config_cache: join(scratch, scratchFolders.npm),
    UV_CACHE_DIR: join(scratch, scratchFolders.uv),
  }
}
