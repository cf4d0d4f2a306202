/**
 * Measures one family in a process of its own: `node test/growth/measure.ts MODULE DOOR FAMILY`. Prints one line of JSON,
 * {@link Measured}. A family that hangs is ended by whoever started this.
 */
import { setImmediate as soon } from "node:timers"
import { setImmediate } from "node:timers/promises"
import type { Door, Family, Read } from "./family.ts"

/** CPU time of one family, in milliseconds of this process's main thread. */
export type Measured = {
  /** As many small inputs as have the size of the largest one together. */
  readonly smallMs: number
  /** One input of the largest size. */
  readonly largeMs: number
  /** The longest turn of the event loop while the largest was read. */
  readonly turnMs: number
  readonly parts: number
}

const cpuMs = (): number => {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1_000
}

const attempt = async (read: Read): Promise<void> => {
  try {
    await read()
  } catch (error) {
    // a refusal is an answer, an exhausted stack is none
    if (error instanceof RangeError) throw error
  }
}

type Time = { readonly ms: number; readonly turnMs: number }

/** Reads all inputs one after the other, `times` times; gives CPU time, and that of the longest turn. */
const timeOf = async (reads: readonly Read[], times: number): Promise<Time> => {
  let turnMs = 0
  let before = cpuMs()
  const begun = before
  let over = false
  const look = (): void => {
    const now = cpuMs()
    turnMs = Math.max(turnMs, now - before)
    before = now
    if (!over) soon(look)
  }
  const watching = soon(look)
  for (let time = 0; time < times; time++) {
    if (time > 0) await setImmediate()
    for (const read of reads) await attempt(read)
  }
  over = true
  look()
  clearImmediate(watching)
  return { ms: cpuMs() - begun, turnMs }
}

const runs = 3

/** The smallest figures of some runs, each with new inputs. */
const best = async (times: number, makeReads: () => readonly Read[]): Promise<Time> => {
  let found = await timeOf(makeReads(), times)
  for (let run = 1; run < runs; run++) {
    const next = await timeOf(makeReads(), times)
    found = { ms: Math.min(found.ms, next.ms), turnMs: Math.min(found.turnMs, next.turnMs) }
  }
  return found
}

/** Measures the family: the small inputs first, which warm up what is read with. */
const measure = async ({ largest, parts = 64, times = 1, make }: Family): Promise<Measured> => {
  const size = Math.max(1, Math.floor(largest / parts))
  const small = await best(times, () => Array.from({ length: parts }, () => make(size)))
  const large = await best(times, () => [make(largest)])
  return { smallMs: small.ms, largeMs: large.ms, turnMs: large.turnMs, parts }
}

const [module = "", doorName, familyName] = process.argv.slice(2)
const { doors }: { readonly doors: readonly Door[] } = await import(`./doors/${module}.ts`)
const family = doors.find(({ name }) => name === doorName)?.families.find(({ name }) => name === familyName)
if (family === undefined) throw new Error(`There is no family '${familyName}' of '${doorName}' in ${module}.`)
console.log(JSON.stringify(await measure(family)))
process.exit(0)
