import { existsSync, readFileSync, realpathSync } from "node:fs"
import { dirname, join } from "node:path"

/** Where the bridge's bundle is beside the script of this program: in the package, and in a clone after a build. */
const places = ["bridge.mjs", "../dist/bridge.mjs"]

/** The bundle in the single executable; undefined in every other form of the program. */
const embedded = (): string | undefined => {
  const sea = process.getBuiltinModule?.("node:sea")
  return sea?.isSea() === true ? sea.getAsset("bridge.mjs", "utf8") : undefined
}

/**
 * The text of the bridge's bundle, which a ConfigMap carries into Pods; undefined if this program has none, as in a
 * clone without a build. `argv`: process.argv.
 */
export const readBridgeProgram = ([, script = ""]: readonly string[]): string | undefined => {
  const own = embedded()
  if (own !== undefined || !existsSync(script)) return own
  const folder = dirname(realpathSync(script))
  const path = places.map((place) => join(folder, place)).find((each) => existsSync(each))
  return path === undefined ? undefined : readFileSync(path, "utf8")
}
