/** The command line of `npm run bench:bridge`. */
import { parseArgs } from "node:util"

/** What `--help` prints, and what follows a complaint about a flag. */
export const help = `npm run bench:bridge [-- FLAGS]

Compares the ways in which the bridge gets into Pods of stdio servers, on a real cluster: seconds until the Pods are
Ready, memory of the bridge, disk of a Pod. An HTTP server without a bridge is measured beside them.

  --pods LIST    numbers of Pods that are created at once, with commas between (default 1,10,50)
  --rounds N     rounds of each measurement (default 3)
  --help         prints this text
`

/** Most Pods at once, and most rounds. A node takes 110 Pods if nobody has changed its kubelet's settings. */
const [mostPods, mostRounds] = [100, 50]

/** The flags of a run. */
export type Flags = {
  /** Numbers of Pods, smallest first, each once. */
  readonly pods: readonly number[]
  readonly rounds: number
  readonly help: boolean
}

/** The whole number from 1 to `most` that a flag's value is; throws if it is none. */
const toNumber = (flag: string, text: string, most: number): number => {
  if (/^\d{1,9}$/.test(text) && Number(text) >= 1 && Number(text) <= most) return Number(text)
  throw new Error(`${flag}: '${text}' is no number from 1 to ${most}`)
}

/** Reads the flags. Throws if one is unknown or has an invalid value. */
export const readFlags = (args: readonly string[]): Flags => {
  const { values } = parseArgs({
    args: [...args],
    options: {
      pods: { type: "string", default: "1,10,50" },
      rounds: { type: "string", default: "3" },
      help: { type: "boolean", default: false },
    },
  })
  const pods = new Set(values.pods.split(",").map((each) => toNumber("--pods", each, mostPods)))
  return {
    pods: [...pods].sort((a, b) => a - b),
    rounds: toNumber("--rounds", values.rounds, mostRounds),
    help: values.help,
  }
}
