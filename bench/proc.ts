/** What Linux' /proc says of processes, in any language. */
import { readdirSync, readFileSync } from "node:fs"

/** The parts of /proc/PID/stat that are used (proc(5)). */
export type ProcessStat = {
  readonly pid: number
  readonly parent: number
  /** Id of its process group. */
  readonly group: number
  /** True if it has ended, and its parent has not asked how. */
  readonly isZombie: boolean
  /** User and system time since its start, of its ended children too, in microseconds. Counted in steps of 10 ms. */
  readonly cpu: number
}

/** Length of a tick, in which Linux reports times: USER_HZ is 100 on every architecture that Node runs on. */
const tickMicroseconds = 10_000

/** Reads /proc/PID/stat. Undefined if it is not such a text. */
export const parseStat = (text: string): ProcessStat | undefined => {
  // the name in parentheses may have blanks and parentheses itself
  const pid = Number(text.slice(0, text.indexOf(" ")))
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ")
  // utime, stime, cutime and cstime are the fields 14 to 17, and the first one here is field 3
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0)
  const [parent, group] = [Number(fields[1]), Number(fields[2])]
  if (fields.length < 15 || ![pid, parent, group, ticks].every(Number.isInteger)) return undefined
  return { pid, parent, group, isZombie: fields[0] === "Z", cpu: ticks * tickMicroseconds }
}

/** Resident memory in bytes by /proc/PID/status (VmRSS); 0 if there is none, as of a process that has ended. */
export const parseResident = (text: string): number => Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) * 1024

/** Soft limit of open files by /proc/PID/limits; Infinity if there is none. */
export const parseOpenFiles = (text: string): number => {
  const soft = /^Max open files\s+(\d+|unlimited)/m.exec(text)?.[1]
  return soft === undefined || soft === "unlimited" ? Number.POSITIVE_INFINITY : Number(soft)
}

/**
 * The process `root` and all that descend from it, except those for which `isApart` is true and what descends from
 * them. A process whose parent has ended belongs to no tree.
 */
export const treeOf = (
  root: number,
  all: readonly ProcessStat[],
  isApart: (pid: number) => boolean,
): readonly ProcessStat[] => {
  const children = Map.groupBy(all, ({ parent }) => parent)
  const visit = (each: ProcessStat): readonly ProcessStat[] => [
    each,
    ...(children.get(each.pid) ?? []).filter(({ pid }) => !isApart(pid)).flatMap(visit),
  ]
  return all.filter(({ pid }) => pid === root).flatMap(visit)
}

/** The text of a file of /proc; empty if its process has ended. */
export const readProc = (pid: number, name: "stat" | "status" | "limits" | "cmdline"): string => {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8")
  } catch {
    return ""
  }
}

/** All processes of this machine. */
export const readProcesses = (): readonly ProcessStat[] =>
  readdirSync("/proc").flatMap((name) => {
    const stat = /^\d+$/.test(name) ? parseStat(readProc(Number(name), "stat")) : undefined
    return stat === undefined ? [] : [stat]
  })
