/**
 * The program: arguments → configuration → role → exit code. The only file that reads the arguments, handles signals
 * and ends the process. A role's module is imported only when that role runs, so that `reflow --help` stays fast.
 */

import { isBridge } from "./bridge/flags.ts"
import { helpText } from "./cli/commands.ts"
import { type Command, parseCommand } from "./cli/flags.ts"
import { configReport, type Environment, loadConfig, processEnvironment, schemaReport } from "./config/load.ts"
import type { Config } from "./config/schema.ts"
import { type AppError, errorTable, hasCode, isAppError, toAppError } from "./errors.ts"
import { isInstall } from "./install/flags.ts"
import { boundMemory, keepMemorySmall } from "./roles/memory.ts"
import type { RunningRole } from "./roles/role.ts"
import type { Output } from "./roles/terminal.ts"
import { createLineBatch } from "./telemetry/line-batch.ts"
import { version } from "./version.ts"

type ExitCode = 0 | 1 | 2 | 3

const exitCodeOf = (error: AppError): ExitCode => {
  if (hasCode(error, "UsageInvalid", "ConfigInvalid")) return 2
  return hasCode(error, "LeadershipLost") ? 3 : 1
}

/** The message of the error's direct cause, as a line of its own; empty if there is none. */
const causeOf = ({ cause }: Error): string => (cause instanceof Error ? `\n  caused by ${cause.message}` : "")

/** The error as text for stderr: code, message, cause and help. A stack only for `Internal`, which is a bug. */
const describe = (error: AppError): string => {
  const stack = error.code === "Internal" && error.cause instanceof Error ? `\n${error.cause.stack}` : causeOf(error)
  return `reflow: ${error.code}: ${error.message}${stack}\n${errorTable[error.code].help}\n`
}

const outputTo = (stream: NodeJS.WriteStream, write: Output["write"]): Output => ({
  isTTY: stream.isTTY,
  get columns() {
    return stream.columns
  },
  write,
})

const batch = createLineBatch((bytes) => void process.stderr.write(bytes))
process.once("exit", batch.flush)
const isScreen = process.stderr.isTTY
/** Standard error: in batches, except on a terminal. All that is written goes through it, and so keeps its order. */
const stderr = outputTo(process.stderr, (text, urgent) => batch.write(text, isScreen || urgent))
const stdout = outputTo(process.stdout, (text) => void process.stdout.write(text))

/** A reader that closes the pipe early (`reflow config | head`) must not crash the process. */
const ignoreClosedPipe = (stream: NodeJS.WriteStream): void => {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error
  })
}

/**
 * Signals within this time, in milliseconds, count as one: after Ctrl-C, the terminal and npm both send a signal to
 * this process.
 */
const sameSignalMs = 1_000

/** How long closing may take, in milliseconds, in addition to the drain timeout. */
const closeGraceMs = 15_000

/**
 * Resolves with the first of SIGINT, SIGTERM and SIGHUP. A second one exits at once with code 1; the processes of the
 * embedded cluster then end by themselves.
 */
const firstSignal = (log: RunningRole["log"]): Promise<string> =>
  new Promise((resolve) => {
    let first: number | undefined
    const onSignal = (signal: string) => {
      if (first === undefined) {
        first = performance.now()
        resolve(signal)
      } else if (performance.now() - first > sameSignalMs) {
        log.warn("ending at once", { signal })
        process.exit(1)
      }
    }
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, onSignal)
  })

/** Closes the role. Exits with code 1 if that takes longer than the drain timeout plus {@link closeGraceMs}. */
const closeRole = async (role: RunningRole, drainMs: number): Promise<void> => {
  const limit = setTimeout(() => {
    role.log.error("could not stop in time")
    process.exit(1)
  }, drainMs + closeGraceMs)
  await role.close()
  clearTimeout(limit)
}

/** Waits for a signal, then closes the role. Throws if the role fails first. */
const serve = async (role: RunningRole, drainMs: number): Promise<ExitCode> => {
  try {
    const signal = await Promise.race([firstSignal(role.log), role.failed])
    role.log.info("stopping", { signal })
  } finally {
    await closeRole(role, drainMs)
  }
  role.log.info("stopped")
  return 0
}

type Run = Extract<Command, { kind: "run" }>

/** Starts the named role. Each role's module is imported only here. */
const startRole = async (
  { role: name, fresh }: Run,
  config: Config,
  environment: Environment,
): Promise<RunningRole> => {
  const { platform } = process
  switch (name) {
    case "gateway":
      return (await import("./roles/gateway.ts")).startGateway({ config, stderr })
    case "operator":
      return (await import("./roles/operator.ts")).startOperator({ config, stderr })
    case "all":
      return (await import("./roles/all.ts")).startAll({ config, stderr })
    case "dev": {
      const { startDev } = await import("./roles/dev/dev.ts")
      return startDev({ config, environment, workingDirectory: process.cwd(), platform, stdout, stderr, fresh })
    }
  }
}

const run = async (command: Run): Promise<ExitCode> => {
  const environment = processEnvironment()
  const { config, warnings } = loadConfig({ settings: command.settings, role: command.role, environment })
  boundMemory()
  const role = await startRole(command, config, environment)
  keepMemorySmall(role)
  for (const warning of warnings) role.log.warn(warning)
  onFatal((error) => role.log.error("ending: the state of the program is unknown", { error }))
  return await serve(role, config.kubernetes.drain_timeout)
}

/**
 * Handles uncaught errors: calls `report`, then exits with code 1. After such an error the state of the program is
 * unknown, and a gateway could send one user's response to another user. Kubernetes restarts the container; the servers
 * of the embedded cluster end with the process.
 */
const onFatal = (report: (error: unknown) => void): void => {
  for (const event of ["uncaughtException", "unhandledRejection"]) {
    process.removeAllListeners(event)
    process.on(event, (error: unknown) => {
      report(error)
      process.exit(1)
    })
  }
}

const printConfig = (command: Extract<Command, { kind: "config" }>): ExitCode => {
  if (command.schema) {
    process.stdout.write(schemaReport())
    return 0
  }
  const loaded = loadConfig({ settings: command.settings, role: command.role, environment: processEnvironment() })
  process.stdout.write(configReport(loaded.values, loaded.sourceOf))
  for (const warning of loaded.warnings) stderr.write(`${warning}\n`)
  return 0
}

const printToken = async (command: Extract<Command, { kind: "token" }>): Promise<ExitCode> => {
  const { config } = loadConfig({ settings: command.settings, role: "dev", environment: processEnvironment() })
  const { devToken } = await import("./roles/dev/key.ts")
  process.stdout.write(`${await devToken(config.dev.state_dir, command)}\n`)
  return 0
}

const check = async ({ role, settings, reach }: Extract<Command, { kind: "check" }>): Promise<ExitCode> => {
  const { runCheck } = await import("./roles/check/check.ts")
  const write = (line: string) => void process.stdout.write(line)
  return (await runCheck({ role, settings, reach, environment: processEnvironment(), write })) ? 0 : 1
}

/**
 * Aborted by SIGHUP, SIGINT or SIGTERM. The process then exits with 128 + the signal's number, as without a handler.
 */
const untilSignal = (): AbortSignal => {
  const ending = new AbortController()
  for (const [signal, number] of Object.entries({ SIGHUP: 1, SIGINT: 2, SIGTERM: 15 }))
    process.once(signal, () => {
      ending.abort()
      process.exit(128 + number)
    })
  return ending.signal
}

const checkPlugin = async ({ paths, ...how }: Extract<Command, { kind: "plugin" }>): Promise<ExitCode> => {
  const { restartCommand, checkApart, childTaskOf, runChildTask } = await import("./roles/check/plugin-apart.ts")
  const environment = processEnvironment()
  const task = childTaskOf(environment)
  const write = (text: string) => void process.stdout.write(text)
  if (task !== undefined) return (await runChildTask({ ...how, path: paths[task.index] ?? "" }, task, write)) ? 0 : 1
  const print = (text: string) => void stderr.write(text)
  const signal = untilSignal()
  const again = restartCommand(process.argv, environment)
  let ok = true
  for (const index of paths.keys()) ok = (await checkApart(again, { index, write, print, signal })) && ok
  return ok ? 0 : 1
}

const printTarget = async (command: Extract<Command, { kind: "target" }>): Promise<ExitCode> => {
  const { targetFrom } = await import("./roles/target/from.ts")
  const { yaml, warnings } = await targetFrom(command, { stdin: process.stdin, now: Date.now() })
  for (const warning of warnings) stderr.write(`${warning}\n`)
  process.stdout.write(yaml)
  return 0
}

/** The roles bridge and install have flags and exit codes of their own; dist has each one as a program without the rest. */
const execute = async (argv: readonly string[]): Promise<number> => {
  if (isBridge(argv)) return (await import("./bridge/main.ts")).runBridge(argv)
  if (isInstall(argv)) return (await import("./install/main.ts")).runInstall(argv)
  const command = parseCommand(argv)
  switch (command.kind) {
    case "help":
      process.stdout.write(helpText)
      return 0
    case "version":
      process.stdout.write(`${version}\n`)
      return 0
    case "completion":
      process.stdout.write((await import("./cli/completion.ts")).completionScript(command.shell))
      return 0
    case "config":
      return printConfig(command)
    case "check":
      return await check(command)
    case "token":
      return await printToken(command)
    case "plugin":
      return await checkPlugin(command)
    case "target":
      return await printTarget(command)
    case "run":
      return await run(command)
  }
}

/** How long open handles may keep the process running after the command is done, in milliseconds. */
const lingerMs = 2_000

const finish = (code: number): void => {
  process.exitCode = code
  setTimeout(() => process.exit(code), lingerMs).unref()
}

const fail = (error: unknown): void => {
  const known = isAppError(error) ? error : toAppError(error)
  stderr.write(describe(known), true)
  finish(exitCodeOf(known))
}

ignoreClosedPipe(process.stdout)
ignoreClosedPipe(process.stderr)
onFatal(fail)
execute(process.argv.slice(2)).then(finish, fail)
