import { existsSync, realpathSync } from "node:fs"
import { dirname, join } from "node:path"
import { isSingleExecutable } from "../../plugin/load.ts"
import { restartCommand } from "../check/plugin-apart.ts"

/** Entries of the bridge beside the script of this program: in the built package, and in the sources. */
const entries = ["bridge.mjs", "bridge/entry.ts"]

/** The script of this program, behind links such as those that npm makes. */
const scriptOf = (argv: readonly string[]): string => {
  const [, script = ""] = argv
  return existsSync(script) ? realpathSync(script) : script
}

/**
 * The command that starts the bridge, without its flags: the bridge's own entry if it stands beside this program, which
 * starts faster and needs less memory, else this program. `argv`: process.argv.
 */
export const bridgeCommand = (argv: readonly string[]): readonly string[] => {
  const script = scriptOf(argv)
  const entry = entries.map((name) => join(dirname(script), name)).find((path) => existsSync(path))
  const chosen = isSingleExecutable() ? argv.slice(0, 2) : [argv[0] ?? "", entry ?? script]
  const { command, args } = restartCommand(chosen, {})
  return [command, ...args]
}
