import { existsSync, readFileSync, realpathSync } from "node:fs"
import { dirname, join } from "node:path"
import type { BridgePrograms } from "../operator/bridge-supply.ts"

/** Where a bundle is beside the script of this program: in the package, and in a clone after a build. */
const places = [".", "../dist"]

/** A bundle in the single executable; undefined in every other form of the program. */
const embedded = (name: string): string | undefined => {
  const sea = process.getBuiltinModule?.("node:sea")
  return sea?.isSea() === true ? sea.getAsset(name, "utf8") : undefined
}

const readBundle = (name: string, script: string): string | undefined => {
  const own = embedded(name)
  if (own !== undefined || !existsSync(script)) return own
  const folder = dirname(realpathSync(script))
  const path = places.map((place) => join(folder, place, name)).find((each) => existsSync(each))
  return path === undefined ? undefined : readFileSync(path, "utf8")
}

/**
 * The bundles of bridge and installer, which a ConfigMap carries into Pods; undefined if this program lacks one, as in a
 * clone without a build. `argv`: process.argv.
 */
export const readBridgePrograms = ([, script = ""]: readonly string[]): BridgePrograms | undefined => {
  const [bridge, installer] = ["bridge.mjs", "install.mjs"].map((name) => readBundle(name, script))
  return bridge === undefined || installer === undefined ? undefined : { bridge, installer }
}
