/**
 * The main of the single executable: runs one of the three programs that are embedded in it. The roles bridge and install
 * have their own, because parsing the whole program would be most of its start, and most of its memory.
 */
import { Script } from "node:vm"
import { isBridge } from "./bridge/flags.ts"
import { isInstall } from "./install/flags.ts"

const sea = process.getBuiltinModule("node:sea")

/** Runs an embedded CommonJS module, and returns what it exports. */
const load = (name: string): Readonly<Record<string, unknown>> => {
  // latin1: the bundles are ASCII, and would take two bytes a character else
  const source = Buffer.from(sea.getRawAsset(name)).toString("latin1")
  const script = new Script(`(function (exports, require, module) {${source}\n})`, { filename: name })
  const module = { exports: {} }
  script.runInThisContext()(module.exports, require, module)
  return module.exports
}

const argv = process.argv.slice(2)
if (isBridge(argv)) {
  const { runBridge } = load("bridge.cjs")
  if (typeof runBridge === "function") void runBridge(argv).then((code: number) => process.exit(code))
} else if (isInstall(argv)) {
  const { runInstall } = load("install.cjs")
  if (typeof runInstall === "function") void runInstall(argv).then((code: number) => process.exit(code))
} else load("program.cjs")
