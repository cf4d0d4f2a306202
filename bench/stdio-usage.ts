/** CPU time and memory of a program between clients and stdio servers, apart from those of the servers. */
import { readFileSync } from "node:fs"
import { type ProcessStat, readProc, readProcesses, treeOf } from "./proc.ts"

/** Memory of processes in bytes. */
export type Memory = {
  /** Resident: a page that several processes share counts for each of them. */
  readonly rss: number
  /** A page that so many processes share counts for each of them by its share. */
  readonly pss: number
  /** What is backed by no file, such as heaps and stacks, by its share. */
  readonly anonymous: number
}

/** What a program uses now. */
export type Usage = {
  /** User and system time of the program's own processes since their start, in microseconds. */
  cpu(): number
  /** Memory of the program's own processes, and of these and the servers together. */
  memory(): { readonly own: Memory; readonly all: Memory }
  /** How many processes of servers run. */
  servers(): number
}

/** True for the command line (its parts end with NUL) of Node that runs this script; not if it is another's argument. */
export const runsScript = (commandLine: string, script: string): boolean => commandLine.split("\0")[1] === script

/**
 * The processes of a program, and those of the servers that it has started. What else is in a server's process group is
 * the program's own: the bridge keeps a watcher there, whose parent has ended.
 */
export const splitProcesses = (
  root: number,
  all: readonly ProcessStat[],
  isServer: (pid: number) => boolean,
): { readonly own: readonly ProcessStat[]; readonly servers: readonly ProcessStat[] } => {
  const tree = treeOf(root, all, () => false)
  const servers = tree.filter(({ pid }) => pid !== root && isServer(pid))
  const apart = new Set(servers)
  const groups = new Set(servers.filter(({ pid, group }) => pid === group).map(({ pid }) => pid))
  const watchers = all.filter((each) => groups.has(each.group) && !tree.includes(each))
  return { own: [...tree.filter((each) => !apart.has(each)), ...watchers], servers }
}

const bytesOf = (text: string, name: string): number =>
  Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text)?.[1] ?? 0) * 1024

/** Memory by a text of /proc/PID/smaps_rollup; nothing of a process that has ended. */
export const parseMemory = (text: string): Memory => ({
  rss: bytesOf(text, "Rss"),
  pss: bytesOf(text, "Pss"),
  anonymous: bytesOf(text, "Pss_Anon"),
})

const readMemory = (pid: number): Memory => {
  try {
    return parseMemory(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))
  } catch {
    return parseMemory("")
  }
}

const memoryOf = (processes: readonly ProcessStat[]): Memory => {
  const each = processes.map(({ pid }) => readMemory(pid))
  const sum = (name: keyof Memory) => each.reduce((total, memory) => total + memory[name], 0)
  return { rss: sum("rss"), pss: sum("pss"), anonymous: sum("anonymous") }
}

/** The usage of the program whose first process is `root`, and which runs `script` as its servers. */
export const usageOf = (root: number, script: string): Usage => {
  const split = () => splitProcesses(root, readProcesses(), (pid) => runsScript(readProc(pid, "cmdline"), script))
  return {
    cpu: () => split().own.reduce((sum, { cpu }) => sum + cpu, 0),
    memory: () => {
      const { own, servers } = split()
      return { own: memoryOf(own), all: memoryOf([...own, ...servers]) }
    },
    servers: () => split().servers.length,
  }
}
