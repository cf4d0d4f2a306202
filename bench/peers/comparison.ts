/**
 * Compares the gateway with other gateways and proxies for MCP: the same server, the same load, the same minutes. The
 * README beside this file says what is measured and how.
 */
import { readFileSync } from "node:fs"
import { parseArgs } from "node:util"
import { type LoadGenerator, startGenerator } from "../load.ts"
import { freePort } from "../ports.ts"
import { startProcess } from "../process.ts"
import { type Entrant, type Server, startPeer } from "./entrant.ts"
import { install } from "./install.ts"
import { type Effort, type Measured, measure, warmEntrant } from "./measure.ts"
import { describeOurs, reflowName, startOurs } from "./ours.ts"
import type { Peer } from "./peer.ts"
import { describeRun, loads, mergeRows, type Results, toText } from "./results.ts"
import { choosePeers, roster } from "./roster.ts"
import type { Row } from "./table.ts"

const help = `npm run bench:peers [-- options]

Installs other MCP gateways into a cache folder, and measures them beside our own.

  --only NAME      only this peer; may be given more than once: ${roster.map(({ name }) => `"${name}"`).join(", ")}
  --rounds N       rounds of each measurement (3)
  --seconds N      length of one run, 1 to 10 (3)
  --install-only   installs, and measures nothing
  --json           prints the figures of each run instead of the table
  --table FILE     prints one table of the figures that earlier runs printed with --json, and measures nothing; may be
                   given more than once
  --help           this text

REFLOW_PYTHON names the Python for the peers in Python. XDG_CACHE_HOME changes the cache folder.
`

const scriptOf = (name: string): string => new URL(`../${name}`, import.meta.url).pathname

/** Everything that all measurements of a run share. */
type Field = {
  readonly generator: LoadGenerator
  readonly server: Server
  readonly ours: readonly Entrant[]
}

const startField = async (stack: AsyncDisposableStack, signal: AbortSignal): Promise<Field> => {
  const port = await freePort()
  const script = scriptOf("server.ts")
  const started = await startProcess({
    command: process.execPath,
    args: [script, "--port", String(port)],
    ready: { port },
  })
  stack.defer(() => started.stop())
  const server = { upstream: `http://127.0.0.1:${port}/mcp`, server: script }
  const generator = startGenerator()
  stack.defer(() => generator.close())
  const ours = await startOurs(server.upstream, stack, signal)
  for (const each of ours) await warmEntrant(generator, each, signal)
  return { generator, server, ours }
}

const say = (text: string): void => void process.stderr.write(`${text}\n`)

/** A peer, and the folder into which it was installed, or why it was not. */
type Installed = { readonly peer: Peer; readonly folder: string } | { readonly peer: Peer; readonly reason: string }

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

const installPeer = async (peer: Peer, signal: AbortSignal): Promise<Installed> => {
  try {
    const folder = await install(peer.pin, signal)
    say(`${peer.name}: installed in ${folder}`)
    return { peer, folder }
  } catch (error) {
    signal.throwIfAborted()
    say(`${peer.name}: ${messageOf(error)}`)
    return { peer, reason: messageOf(error) }
  }
}

/** Installs peers one after the other, so that nothing is compiled while others are measured. */
const installAll = async (peers: readonly Peer[], signal: AbortSignal): Promise<readonly Installed[]> => {
  const installed: Installed[] = []
  for (const peer of peers) installed.push(await installPeer(peer, signal))
  return installed
}

const measurePeer = async (
  peer: Peer,
  folder: string,
  { generator, server, ours }: Field,
  effort: Effort,
  signal: AbortSignal,
): Promise<Measured> => {
  const entrant = await startPeer(peer, folder, server, signal)
  try {
    const { figures, isSteady } = await warmEntrant(generator, entrant, signal)
    const seen = figures.map((each) => each.toFixed(0)).join(", ")
    say(`${peer.name}: CPU per call in the warm-up: ${seen} µs${isSteady ? "" : ", not steady"}`)
    return await measure(generator, [...ours, entrant], effort, signal)
  } finally {
    await entrant.stop()
  }
}

const emptyRow = ({ name, pin, does }: Peer): Row => ({
  name,
  version: pin.version,
  licence: pin.licence,
  does,
  figures: [],
  failures: [],
  ours: [],
})

/** A peer's row, and the figures of our own entrants from the same minutes. */
const comparePeer = async (
  installed: Installed,
  field: Field,
  effort: Effort,
  signal: AbortSignal,
): Promise<Measured & { row: Row }> => {
  const { peer } = installed
  const without = (reason: string) => ({ figures: [], failures: [], row: { ...emptyRow(peer), reason } })
  if ("reason" in installed) return without(installed.reason)
  try {
    const { figures, failures } = await measurePeer(peer, installed.folder, field, effort, signal)
    const isPeers = ({ name }: { readonly name: string }) => name === peer.name
    const row = {
      ...emptyRow(peer),
      figures: figures.filter(isPeers),
      failures: failures.filter(isPeers),
      ours: figures.filter(({ name }) => name === reflowName),
    }
    return { figures, failures, row }
  } catch (error) {
    signal.throwIfAborted()
    say(`${peer.name}: ${messageOf(error)}`)
    return without(messageOf(error))
  }
}

const compare = async (peers: readonly Peer[], effort: Effort, signal: AbortSignal): Promise<readonly Row[]> => {
  const installed = await installAll(peers, signal)
  await using stack = new AsyncDisposableStack()
  const field = await startField(stack, signal)
  const compared = []
  for (const each of installed) compared.push(await comparePeer(each, field, effort, signal))
  const all = compared.flatMap(({ figures }) => figures)
  const failures = compared.flatMap((each) => each.failures)
  const ours = all.filter(({ name }) => name === reflowName)
  const own = describeOurs.map((each): Row => {
    const isOwn = ({ name }: { readonly name: string }) => name === each.name
    return { ...each, figures: all.filter(isOwn), failures: failures.filter(isOwn), ours }
  })
  return [...own, ...compared.map(({ row }) => row)]
}

const number = (name: string, text: string, most: number): number => {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1 || value > most)
    throw new Error(`--${name} must be a number from 1 to ${most}`)
  return value
}

const readResults = (files: readonly string[]): Results => {
  const runs = files.map((file) => JSON.parse(readFileSync(file, "utf8")) as Results)
  const own = describeOurs.map(({ name }) => name)
  const rows = runs.map((run) => run.rows)
  return { rows: mergeRows(rows, own), circumstances: runs.flatMap((run) => run.circumstances) }
}

const main = async (signal: AbortSignal): Promise<void> => {
  const { values } = parseArgs({
    options: {
      only: { type: "string", multiple: true, default: [] },
      rounds: { type: "string", default: "3" },
      seconds: { type: "string", default: "3" },
      "install-only": { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      table: { type: "string", multiple: true, default: [] },
      help: { type: "boolean", default: false },
    },
  })
  if (values.help) return void console.log(help)
  if (values.table.length > 0) return void console.log(toText(readResults(values.table)))
  const peers = choosePeers(values.only)
  if (values["install-only"]) return void (await installAll(peers, signal))
  const before = loads()
  const effort = { rounds: number("rounds", values.rounds, 100), seconds: number("seconds", values.seconds, 10) }
  const rows = await compare(peers, effort, signal)
  const results: Results = { rows, circumstances: describeRun(before) }
  console.log(values.json ? JSON.stringify(results) : toText(results))
}

if (import.meta.main) {
  const interrupted = new AbortController()
  const onSignal = () => {
    // a second one does not wait for what runs; the end of this process ends all that it has started
    if (interrupted.signal.aborted) process.exit(130)
    interrupted.abort(new Error("interrupted"))
  }
  for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, onSignal)
  try {
    await main(interrupted.signal)
  } catch (error) {
    say(messageOf(error))
    process.exitCode = 1
  }
}
