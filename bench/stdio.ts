/**
 * `npm run bench:stdio`: compares the gateway and its bridge with other bridges between streamable HTTP and stdio servers,
 * over the same server and in the same run. bench/peers/README.md says what is measured, and how.
 */
import { parseArgs } from "node:util"
import { startGenerator } from "./load.ts"
import { describeRun, loads } from "./peers/results.ts"
import { entrants } from "./stdio-entrants.ts"
import { type Context, measureCalls, measureMemory } from "./stdio-measure.ts"
import { judgedSeries, type Measured, toTables } from "./stdio-table.ts"
import { toTable } from "./table.ts"
import { judge } from "./verdict.ts"

const help = `npm run bench:stdio [-- FLAGS]

Compares the gateway and its bridge with mcp-proxy and supergateway, over the same stdio server.

  --rounds N     rounds of each measurement (default 3)
  --seconds N    length of one run of calls (default 3)
  --only NAME    only programs whose name has this text; may be given more than once
  --part PART    only calls, or only memory
  --check        exits with 1 if something failed, or the gateway with its bridge is dearer than one of the others by
                 more than the noise
  --json         prints the figures of each round as JSON instead of tables
  --help         prints this text

XDG_CACHE_HOME changes the folder into which the others are installed.
`

/** How long an entrant rests before its memory is read, milliseconds. */
const restMs = 3_000

const note = (text: string): void => void process.stderr.write(`${text}\n`)

/** Reads the flags. Throws if one is unknown or has an invalid value. */
const readFlags = () => {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "3" },
      seconds: { type: "string", default: "3" },
      only: { type: "string", multiple: true, default: [] },
      part: { type: "string", default: "" },
      check: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  })
  const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)]
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error("--rounds must be a number from 1 on")
  if (!(seconds > 0 && seconds <= 60)) throw new Error("--seconds must be a number from 1 to 60")
  if (!["", "calls", "memory"].includes(values.part)) throw new Error("--part must be calls or memory")
  const chosen = entrants.filter(
    ({ name }) => values.only.length === 0 || values.only.some((text) => name.includes(text)),
  )
  if (chosen.length === 0) throw new Error("--only names no program")
  return { ...values, rounds, seconds, chosen }
}
type Flags = ReturnType<typeof readFlags>

const measure = async ({ chosen, part, rounds, seconds }: Flags, signal: AbortSignal): Promise<Measured> => {
  const generator = startGenerator()
  const context: Context = { generator, signal, note, failures: [], effort: { rounds, seconds, restMs } }
  try {
    const calls = part === "memory" ? [] : await measureCalls(context, chosen)
    const held = part === "calls" ? [] : await measureMemory(context, chosen)
    return { calls, held, failures: context.failures }
  } finally {
    await generator.close()
  }
}

const compare = async (flags: Flags, signal: AbortSignal): Promise<void> => {
  const before = loads()
  const measured = await measure(flags, signal)
  const circumstances = describeRun(before, "npm run bench:stdio")
  const series = judgedSeries(flags.chosen, measured)
  const holds = measured.failures.length === 0 && series.every((each) => judge(each).outcome !== "over")
  if (flags.json) console.log(JSON.stringify({ ...measured, circumstances }))
  else console.log([toTables(flags.chosen, measured), toTable(series), circumstances.join("\n")].join("\n\n"))
  if (flags.check && !holds) process.exitCode = 1
}

const main = async (): Promise<void> => {
  let flags: Flags
  try {
    flags = readFlags()
  } catch (error) {
    note(`${(error as Error).message}\n\n${help}`)
    process.exitCode = 2
    return
  }
  if (flags.help) return void process.stdout.write(help)
  // each program that runs has a listener for the end of this process
  process.setMaxListeners(2 * entrants.length)
  const interrupted = new AbortController()
  for (const name of ["SIGINT", "SIGTERM"] as const)
    process.on(name, () => {
      // a second one does not wait; the end of this process ends all that it has started
      if (interrupted.signal.aborted) process.exit(130)
      interrupted.abort(new Error("interrupted"))
    })
  try {
    await compare(flags, interrupted.signal)
  } catch (error) {
    note((error as Error).message)
    process.exitCode = 1
  }
}

await main()
