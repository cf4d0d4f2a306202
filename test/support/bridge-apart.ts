/**
 * A bridge in a process of its own, whose memory and descriptors a test can measure. Run as a program it is that
 * process: it gets the options as JSON, collects its garbage when it is told to, and ends with its parent.
 */
import { fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import type { BridgeOptions } from "../../src/bridge/bridge.ts"
import { type ProcessUsage, readUsage } from "./process-usage.ts"

/** A running bridge of its own. */
export type BridgeApart = {
  readonly pid: number
  readonly url: string
  readonly log: readonly string[]
  /** Process ids of the children that it started. */
  readonly pids: () => readonly number[]
  /** What it uses now, and the most it ever did. */
  usage(): Promise<ProcessUsage>
  /** Bytes of its heap and of its buffers after a full garbage collection. */
  collected(): Promise<number>
}

type Order = "collect"

const file = fileURLToPath(import.meta.url)

/** Starts a bridge that ends with the test. */
export const startApart = async (
  command: readonly string[],
  options: Partial<BridgeOptions> = {},
): Promise<BridgeApart> => {
  const { onTestFinished } = await import("vitest")
  const { bridgeDefaults } = await import("./bridge.ts")
  const log: string[] = []
  const child = fork(file, [JSON.stringify({ ...bridgeDefaults, command, ...options })], {
    execArgv: ["--expose-gc"],
    stdio: ["ignore", "inherit", "pipe", "ipc"],
  })
  onTestFinished(() => void child.kill("SIGKILL"))
  let rest = ""
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    const lines = (rest + text).split("\n")
    rest = lines.pop() ?? ""
    log.push(...lines)
  })
  const next = () => new Promise<number>((resolve) => child.once("message", (value) => resolve(Number(value))))
  const port = await next()
  const pid = child.pid ?? 0
  return {
    pid,
    url: `http://127.0.0.1:${port}/mcp`,
    log,
    pids: () => log.flatMap((line) => /started, process (\d+)/.exec(line)?.[1] ?? []).map(Number),
    usage: () => readUsage(pid),
    collected: () => {
      const answer = next()
      child.send("collect" satisfies Order)
      return answer
    },
  }
}

if (process.argv[1] === file) {
  const { startBridge } = await import("../../src/bridge/bridge.ts")
  const write = (text: string): void => void process.stderr.write(text)
  const bridge = await startBridge({ ...JSON.parse(process.argv[2] ?? ""), write })
  process.on("message", () => {
    globalThis.gc?.()
    const { heapUsed, external } = process.memoryUsage()
    process.send?.(heapUsed + external)
  })
  process.on("disconnect", () => process.exit(0))
  process.send?.(bridge.port)
}
