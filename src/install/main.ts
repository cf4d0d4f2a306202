/**
 * The role install as a program: a bundle of its own (dist/install.mjs), which an init container runs before the server.
 * It is the only part of this program that starts npm or uv.
 */
import { existsSync } from "node:fs"
import { mkdir, writeFile } from "node:fs/promises"
import { dirname } from "node:path"
import { env } from "node:process"
import { type InstallReport, writeReport } from "../api/install-report.ts"
import { errorTable, systemCode, toAppError } from "../errors.ts"
import { explainLate } from "./explain.ts"
import { installHelp, parseInstall } from "./flags.ts"
import { install } from "./install.ts"
import { type Order, requirementOf } from "./order.ts"
import { explainFileError } from "./tree.ts"

/** Where a kubelet reads what a container says at its end. It exists only if there is one. */
const terminationLog = "/dev/termination-log"

const write = (text: string): void => void process.stderr.write(text)

/** A log that nobody reads any more must not end the installation. */
const outliveLog = (): void => {
  for (const stream of [process.stdout, process.stderr])
    stream.on("error", (error) => {
      if (systemCode(error) !== "EPIPE") throw error
    })
}

const late = "late"

/** Is aborted by the first SIGTERM, SIGINT or SIGHUP, whose number is the reason. */
const untilSignal = (): AbortController => {
  const stop = new AbortController()
  for (const [signal, number] of Object.entries({ SIGHUP: 1, SIGINT: 2, SIGTERM: 15 }))
    process.on(signal, () => stop.abort(number))
  return stop
}

const writeMessage = async (file: string | undefined, report: InstallReport): Promise<void> => {
  const path = file ?? (existsSync(terminationLog) ? terminationLog : undefined)
  if (path === undefined) return
  try {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, writeReport(report))
  } catch (error) {
    write(`reflow-install: the report cannot be written: ${error instanceof Error ? error.message : error}\n`)
  }
}

const reportOf = async (order: Order, signal: AbortSignal): Promise<InstallReport> => {
  try {
    const report = await install(order, { variables: env, write, signal })
    return signal.aborted
      ? { kind: "failed", problem: explainLate(order), lines: "lines" in report ? report.lines : [] }
      : report
  } catch (error) {
    if (signal.aborted) return { kind: "failed", problem: explainLate(order), lines: [] }
    const problem = explainFileError(error)
    if (problem === undefined) throw error
    return { kind: "failed", problem, lines: [] }
  }
}

/** How long the ending may take after the time is up or a signal came, milliseconds: what was begun is deleted. */
const endingMs = 5_000

/** Resolves some time after the signal: a file system that hangs must not keep this program. */
const longAfter = (order: Order, signal: AbortSignal): Promise<InstallReport> =>
  new Promise((resolve) =>
    signal.addEventListener("abort", () =>
      setTimeout(() => resolve({ kind: "failed", problem: explainLate(order), lines: [] }), endingMs),
    ),
  )

const execute = async (order: Order): Promise<number> => {
  const stop = untilSignal()
  const limit = setTimeout(() => stop.abort(late), order.timeoutMs)
  const started = performance.now()
  const report = await Promise.race([reportOf(order, stop.signal), longAfter(order, stop.signal)])
  clearTimeout(limit)
  if (typeof stop.signal.reason === "number") return 128 + stop.signal.reason
  await writeMessage(order.messageFile, report)
  const seconds = ((performance.now() - started) / 1_000).toFixed(1)
  if (report.kind === "failed") {
    write(`reflow-install: ${report.problem}\n`)
    return 1
  }
  const skipped =
    report.skippedScripts.length === 0 ? "" : `; without the install scripts of ${report.skippedScripts.join(", ")}`
  write(
    `reflow-install: ${requirementOf(order)} ${report.cached ? "was there already" : `installed in ${seconds} s`}${skipped}\n`,
  )
  return 0
}

/** Runs the role install. Resolves with the exit code: 0, 1 for a failure, 2 for wrong flags, 128 + a signal's number. */
export const runInstall = async (argv: readonly string[]): Promise<number> => {
  outliveLog()
  try {
    const command = parseInstall(argv)
    if (command.kind === "run") return await execute(command.order)
    process.stdout.write(installHelp)
    return 0
  } catch (error) {
    const { code, message, cause } = toAppError(error)
    const stack = code === "Internal" && cause instanceof Error ? `\n${cause.stack}` : ""
    const problem = `${message} ${errorTable[code].help}`
    write(`reflow-install: ${code}: ${problem}${stack}\n`)
    await writeMessage(undefined, { kind: "failed", problem, lines: [] })
    return code === "UsageInvalid" ? 2 : 1
  }
}
