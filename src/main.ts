/**
 * The program: arguments → configuration → role → exit code. The only file that reads the arguments, handles signals
 * and ends the process. Roles are loaded when they are asked for, so that `reflow --help` need not load a gateway.
 */

import { helpText } from "./cli/commands.ts"
import { type Command, parseCommand } from "./cli/flags.ts"
import { configReport, type Environment, loadConfig, processEnvironment, schemaReport } from "./config/load.ts"
import type { Config } from "./config/schema.ts"
import { type AppError, errorTable, hasCode, isAppError, toAppError } from "./errors.ts"
import type { RunningRole } from "./roles/role.ts"
import { version } from "./version.ts"

type ExitCode = 0 | 1 | 2 | 3

const exitCodeOf = (error: AppError): ExitCode => {
  if (hasCode(error, "UsageInvalid", "ConfigInvalid")) return 2
  return hasCode(error, "LeadershipLost") ? 3 : 1
}

/** The text of the nearest cause, for those who must mend it. */
const causeOf = ({ cause }: Error): string => (cause instanceof Error ? `\n  caused by ${cause.message}` : "")

/** What is wrong, why, and what to do, for people. */
const describe = (error: AppError): string => {
  const stack = error.code === "Internal" && error.cause instanceof Error ? `\n${error.cause.stack}` : causeOf(error)
  return `reflow: ${error.code}: ${error.message}${stack}\n${errorTable[error.code].help}\n`
}

/** A reader that went away (`reflow config | head`) is no reason to crash. */
const ignoreClosedPipe = (stream: NodeJS.WriteStream): void => {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error
  })
}

/** Signals within this time are one: npm passes Ctrl-C on to a process that the terminal has told already. */
const sameSignalMs = 1_000

/** How long closing may take besides draining. */
const closeGraceMs = 15_000

/** Resolves at the first signal to end. The second one ends the process at once: its children follow by themselves. */
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

/** Closes the role in bounded time: what does not end in time ends with the process. */
const closeRole = async (role: RunningRole, drainMs: number): Promise<void> => {
  const limit = setTimeout(() => {
    role.log.error("could not stop in time")
    process.exit(1)
  }, drainMs + closeGraceMs)
  await role.close()
  clearTimeout(limit)
}

/** Keeps the process until a signal, then closes the role; throws if the role fails before. */
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

/** Starts the named role. Each is loaded only when it is asked for. */
const startRole = async (
  { role: name, fresh }: Run,
  config: Config,
  environment: Environment,
): Promise<RunningRole> => {
  const { platform, stdout, stderr } = process
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
  const role = await startRole(command, config, environment)
  for (const warning of warnings) role.log.warn(warning)
  onFatal((error) => role.log.error("ending: the state of the program is unknown", { error }))
  return await serve(role, config.kubernetes.drain_timeout)
}

/**
 * After an error that nobody caught the state of the program is unknown: it might hand one user's answer to another.
 * So it ends; whoever started it starts it again, and the servers of the embedded cluster end with it.
 */
const onFatal = (tell: (error: unknown) => void): void => {
  for (const event of ["uncaughtException", "unhandledRejection"]) {
    process.removeAllListeners(event)
    process.on(event, (error: unknown) => {
      tell(error)
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
  for (const warning of loaded.warnings) process.stderr.write(`${warning}\n`)
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

/** Aborted by the first signal to end, which ends this process as it would without anybody who listens. */
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
  const { againBy, checkApart, errandOf, runErrand } = await import("./roles/check/plugin-apart.ts")
  const environment = processEnvironment()
  const errand = errandOf(environment)
  const write = (text: string) => void process.stdout.write(text)
  if (errand !== undefined) return (await runErrand({ ...how, path: paths[errand.index] ?? "" }, errand, write)) ? 0 : 1
  const print = (text: string) => void process.stderr.write(text)
  const signal = untilSignal()
  const again = againBy(process.argv, environment)
  let ok = true
  for (const index of paths.keys()) ok = (await checkApart(again, { index, write, print, signal })) && ok
  return ok ? 0 : 1
}

const execute = async (argv: readonly string[]): Promise<ExitCode> => {
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
    case "run":
      return await run(command)
  }
}

/** How long what was closed may keep the process alive; then it is ended. */
const lingerMs = 2_000

const finish = (code: ExitCode): void => {
  process.exitCode = code
  setTimeout(() => process.exit(code), lingerMs).unref()
}

const fail = (error: unknown): void => {
  const known = isAppError(error) ? error : toAppError(error)
  process.stderr.write(describe(known))
  finish(exitCodeOf(known))
}

ignoreClosedPipe(process.stdout)
ignoreClosedPipe(process.stderr)
onFatal(fail)
execute(process.argv.slice(2)).then(finish, fail)
