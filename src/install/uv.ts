import { indexName } from "./credentials.ts"
import { dayAfter } from "./npm.ts"
import { type Order, requirementOf } from "./order.ts"

/**
 * The arguments with which uv installs a package into `folder`. `python`: the interpreter's absolute path, so that uv
 * takes no other one, such as that of a virtual environment.
 */
export const uvArguments = (
  order: Pick<Order, "type" | "name" | "version" | "before" | "registry" | "allowScripts" | "scratch">,
  folder: string,
  python: string,
): readonly string[] => [
  "pip",
  "install",
  `--target=${folder}`,
  `--python=${python}`,
  "--no-python-downloads",
  "--compile-bytecode",
  "--link-mode=copy",
  "--no-progress",
  "--color=never",
  // what an image has in its configuration files is not known to whoever named the registry
  ...(order.scratch === undefined ? [] : ["--no-config"]),
  ...(order.allowScripts ? [] : ["--no-build"]),
  ...(order.registry === undefined ? [] : [`--default-index=${indexName}=${order.registry}`]),
  ...(order.before === undefined ? [] : [`--exclude-newer=${dayAfter(order.before)}`]),
  "--",
  requirementOf(order),
]

/** Variables of uv: how long it waits for a registry, in seconds, and how often it tries again. */
export const uvManners: Readonly<Record<string, string>> = {
  UV_HTTP_CONNECT_TIMEOUT: "5",
  UV_HTTP_RETRIES: "2",
  UV_HTTP_TIMEOUT: "30",
}
