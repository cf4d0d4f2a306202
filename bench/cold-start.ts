/**
 * Measures cold starts on a real cluster: from a user's first request to the first answer, beside a bare Pod of the same
 * spec, from its create to its first answer through the same network. Gateway and operator run as Pods, from the image,
 * with one replica each.
 * Run: npm run bench:cold [-- --help]
 */
import { writeFile } from "node:fs/promises"
import { cpus, loadavg } from "node:os"
import { resolve } from "node:path"
import { parseArgs } from "node:util"
import { readEntries } from "../test/kubernetes/support/audit.ts"
import { install } from "./cold-start/installation.ts"
import { type Call, type Durations, durationsOf, figuresOf } from "./cold-start/phases.ts"
import { draw } from "./cold-start/picture.ts"
import { toRuns } from "./cold-start/place.ts"
import { createStarter, type Start } from "./cold-start/starts.ts"
import { budgetMs, isWithin, type Measured, toTable } from "./cold-start/table.ts"

const help = `Usage: npm run bench:cold [-- FLAGS]

Measures cold starts on a real cluster beside bare Pods of the same spec, in turns.

  --runs N          starts of each kind (default 30)
  --policies on|off with the NetworkPolicies of manager/, or without (default on)
  --check           exit code 1 if the 95th percentile is more than ${budgetMs} ms above the bare Pod's
  --json            all durations as JSON instead of the table
  --picture FILE    draw the figures as SVG
  --help            this text
`

const note = (text: string): void => console.error(`${new Date().toISOString().slice(11, 19)} ${text}`)

/** Starts of both kinds, in turns; which is first alternates. The first start of each kind does not count. */
const alternate = async (
  starter: Awaited<ReturnType<typeof createStarter>>,
  runs: number,
): Promise<readonly Start[]> => {
  await starter.instance(0)
  await starter.bare(0)
  const starts: Start[] = []
  for (let run = 1; run <= runs; run++) {
    const pair = [() => starter.instance(run), () => starter.bare(run)]
    for (const start of run % 2 === 0 ? pair : pair.reverse()) starts.push(await start())
    const last = starts.slice(-2).map(({ kind, sentAt, answeredAt }) => `${kind} ${Math.round(answeredAt - sentAt)} ms`)
    note(`${run}: ${last.join(", ")}`)
  }
  return starts
}

const measure = async (runs: number, policies: boolean): Promise<Measured> => {
  const place = await install(runs + 1)
  try {
    await place.isolate(policies)
    const starter = await createStarter(place)
    const load = loadavg()
    const from = Date.now()
    const starts = await alternate(starter, runs)
    const entries = (await readEntries(place.auditLog, { from, holding: [place.instances] })) as readonly Call[]
    const calls = entries.filter(({ objectRef }) => objectRef?.namespace === place.instances)
    await starter.close()
    const of = (kind: Start["kind"]): readonly Durations[] =>
      starts.filter((start) => start.kind === kind).map((start) => durationsOf(start, calls))
    return {
      at: new Date().toISOString(),
      machine: `${cpus().length} cores (${cpus()[0]?.model.trim()})`,
      kubernetes: place.version,
      load,
      policies,
      instance: of("instance"),
      bare: of("bare"),
    }
  } finally {
    note("cleaning up")
    await place.close()
  }
}

const main = async (): Promise<void> => {
  const { values } = parseArgs({
    options: {
      runs: { type: "string", default: "30" },
      policies: { type: "string", default: "on" },
      check: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      picture: { type: "string" },
      help: { type: "boolean", default: false },
    },
  })
  if (values.help) return void process.stdout.write(help)
  const measured = await measure(toRuns(values.runs), values.policies !== "off")
  console.log(values.json ? JSON.stringify(measured) : toTable(measured))
  const [instance, bare] = [figuresOf(measured.instance), figuresOf(measured.bare)]
  if (values.picture !== undefined) await writeFile(resolve(values.picture), draw({ instance, bare }))
  if (values.check && !isWithin(instance, bare)) process.exitCode = 1
}

await main()
