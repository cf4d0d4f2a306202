/**
 * `npm run bench`: measures the built gateway, and compares it with a bare pipe of Node and undici, nginx and h3 in the
 * same run. Prints a table with budgets. bench/README.md says what is measured, and how.
 */
import { cpus, loadavg } from "node:os"
import { parseArgs } from "node:util"
import { type Context, type Experiment, isWanted } from "./experiment.ts"
import { freshStart } from "./fresh-start.ts"
import { halfLoads } from "./half-load.ts"
import { idleStreams } from "./idle-streams.ts"
import { largeAnswers } from "./large-answers.ts"
import { type LoadGenerator, startGenerator } from "./load.ts"
import { smallCalls } from "./small-calls.ts"
import { type Stage, startStage } from "./stage.ts"
import { type Circumstances, toJson, toSentence, toTable } from "./table.ts"
import { judge, type Series } from "./verdict.ts"

const help = `npm run bench [-- FLAGS]

Measures the built gateway, compared with a bare pipe, nginx (if it is installed) and h3.

  --rounds N     rounds of each comparison (default 5)
  --seconds N    length of one run of a load (default 1.5)
  --streams N    idle event streams (default 5000)
  --only IDS     only these rows, by their ids or the first words of them, with commas between
  --list         prints the ids of all rows
  --check        exits with 1 if a figure exceeds its budget by more than the noise
  --json         prints the results as JSON instead of a table
  --help         prints this text
`

const experiments: readonly Experiment[] = [...smallCalls, ...halfLoads, largeAnswers, freshStart, idleStreams]

const ids = experiments.flatMap((each) => each.ids)

const note = (text: string): void => void process.stderr.write(`${text}\n`)

/** Reads the flags. Throws if one is unknown or has an invalid value. */
const readFlags = () => {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "5" },
      seconds: { type: "string", default: "1.5" },
      streams: { type: "string", default: "5000" },
      only: { type: "string", default: "" },
      list: { type: "boolean", default: false },
      check: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  })
  const positive = (name: "rounds" | "seconds" | "streams"): number => {
    const value = Number(values[name])
    if (!(value > 0 && Number.isFinite(value))) throw new Error(`--${name} must be a number above 0`)
    return value
  }
  const only = values.only.split(",").filter((word) => word !== "")
  if (!ids.some((id) => isWanted(id, only))) throw new Error("--only names no row; --list prints them all")
  return { ...values, only, rounds: positive("rounds"), seconds: positive("seconds"), streams: positive("streams") }
}

/** Runs the experiments that have wanted rows. Everything that was started is stopped at the end. */
const measure = async (
  { only, rounds, seconds, streams }: ReturnType<typeof readFlags>,
  generator: LoadGenerator,
): Promise<readonly Series[]> => {
  let stage: Promise<Stage> | undefined
  const stopStage = async () => {
    await (await stage)?.stop()
    stage = undefined
  }
  const openStage = () => {
    stage ??= startStage({ generator, note, seconds: seconds / 2 })
    return stage
  }
  const context: Context = { rounds, seconds, streams, generator, note, stage: openStage }
  const all: Series[] = []
  try {
    for (const experiment of experiments) {
      if (!experiment.ids.some((id) => isWanted(id, only))) continue
      // an experiment with processes of its own has the machine for itself
      if (experiment === freshStart || experiment === idleStreams) await stopStage()
      all.push(...(await experiment.run(context)).filter(({ id }) => isWanted(id, only)))
    }
  } finally {
    await stopStage().catch(() => {})
  }
  return all
}

const compare = async (flags: ReturnType<typeof readFlags>): Promise<void> => {
  // whatever was started is killed when this process exits
  for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => process.exit(130))
  const before = loadavg()
  const generator = startGenerator()
  const series = await measure(flags, generator).finally(() => generator.close())
  const circumstances: Circumstances = {
    date: new Date().toISOString().slice(0, 16).replace("T", " "),
    node: process.versions.node,
    processors: `${cpus().length} cores (${cpus()[0]?.model.trim() ?? "unknown"})`,
    before,
    after: loadavg(),
  }
  console.log(flags.json ? toJson(series, circumstances) : `${toTable(series)}\n\n${toSentence(circumstances)}`)
  if (flags.check && series.some((each) => judge(each).outcome === "over")) process.exitCode = 1
}

const main = async (): Promise<void> => {
  let flags: ReturnType<typeof readFlags>
  try {
    flags = readFlags()
  } catch (error) {
    note(`${(error as Error).message}\n\n${help}`)
    process.exitCode = 2
    return
  }
  if (flags.help) process.stdout.write(help)
  else if (flags.list) process.stdout.write(`${ids.join("\n")}\n`)
  else await compare(flags)
}

await main()
