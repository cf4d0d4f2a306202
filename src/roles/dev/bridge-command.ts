import { existsSync, realpathSync } from "node:fs"
import { dirname, join } from "node:path"
import { isSingleExecutable } from "../../plugin/load.ts"
import { restartCommand } from "../check/plugin-apart.ts"

/** Entries of the bridge beside the script of this program: in the built package, and in the sources. */
const bridgeEntries = ["bridge.mjs", "bridge/entry.ts"]

/** Entries of the installer of packages, likewise. */
const installerEntries = ["install.mjs", "install/entry.ts"]

/** The script of this program, behind links such as those that npm makes. */
const scriptOf = (argv: readonly string[]): string => {
  const [, script = ""] = argv
  return existsSync(script) ? realpathSync(script) : script
}

/**
 * The command that starts a part of this program, without its flags: the part's own entry if it stands beside this
 * program, which starts faster and needs less memory, else this program.
 */
const commandOf = (entries: readonly string[], argv: readonly string[]): readonly string[] => {
  const script = scriptOf(argv)
  const entry = entries.map((name) => join(dirname(script), name)).find((path) => existsSync(path))
  const chosen = isSingleExecutable() ? argv.slice(0, 2) : [argv[0] ?? "", entry ?? script]
  const { command, args } = restartCommand(chosen, {})
  return [command, ...args]
}

/** The command that starts the bridge, without its flags. `argv`: process.argv. */
export const bridgeCommand = (argv: readonly string[]): readonly string[] => commandOf(bridgeEntries, argv)

/** The command that starts the installer of packages, without its flags. `argv`: process.argv. */
export const installerCommand = (argv: readonly string[]): readonly string[] => commandOf(installerEntries, argv)
