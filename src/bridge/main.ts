/**
 * The role bridge as a program: a bundle of its own (dist/bridge.mjs), so that it starts in 30 ms and needs a tenth of
 * the memory of the whole program.
 */
import { env } from "node:process"
import { errorTable, toAppError } from "../errors.ts"
import { type Bridge, startBridge } from "./bridge.ts"
import { bridgeHelp, parseBridge } from "./flags.ts"
import { installBridge } from "./install.ts"

const write = (text: string): void => void process.stderr.write(text)

/** Resolves with SIGTERM, SIGINT or SIGHUP; a second one ends the process at once, and the kernel its children's pipes. */
const firstSignal = (): Promise<number> =>
  new Promise((resolve) => {
    let seen = false
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"])
      process.on(signal, () => {
        if (seen) return
        seen = true
        resolve(0)
      })
  })

const serve = async (bridge: Bridge, signal: Promise<number>): Promise<number> => {
  const code = await Promise.race([signal, bridge.failed])
  await bridge.close()
  return code
}

/**
 * Runs the role bridge until a signal comes or its server cannot run. Resolves with the exit code: 0, that of the
 * server, 1, or 2 for wrong flags.
 */
export const runBridge = async (argv: readonly string[]): Promise<number> => {
  const signal = firstSignal()
  try {
    const command = parseBridge(argv)
    if (command.kind === "help") {
      process.stdout.write(bridgeHelp)
      return 0
    }
    if (command.kind === "install") {
      installBridge(process.execPath, command.folder)
      return 0
    }
    return await serve(await startBridge({ ...command.options, environment: env, write }), signal)
  } catch (error) {
    const known = toAppError(error)
    const cause = known.code === "Internal" && known.cause instanceof Error ? `\n${known.cause.stack}` : ""
    write(`reflow-bridge: ${known.code}: ${known.message} ${errorTable[known.code].help}${cause}\n`)
    if (known.code === "UsageInvalid") return 2
    const code = known.data?.exit_code
    return typeof code === "number" && code > 0 ? code : 1
  }
}
