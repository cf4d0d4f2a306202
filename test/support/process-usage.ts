import { readdir, readFile, readlink } from "node:fs/promises"

/** What a process has used, as Linux' /proc tells it. */
export type ProcessUsage = {
  /** Resident memory now, in MiB. */
  readonly residentMiB: number
  /** The most it ever was, in MiB. */
  readonly peakMiB: number
  /** User and system time since its start, in seconds. */
  readonly cpuSeconds: number
  /** Open file descriptors, sockets among them. */
  readonly descriptors: number
  readonly sockets: number
}

/** USER_HZ, in which Linux counts a process' time: 100 on every architecture that Node runs on. */
const ticksPerSecond = 100

const readDescriptors = async (pid: number): Promise<readonly string[]> => {
  const names = await readdir(`/proc/${pid}/fd`)
  // one that was closed meanwhile has no link any more
  return await Promise.all(names.map((name) => readlink(`/proc/${pid}/fd/${name}`).catch(() => "")))
}

/** What a process of this machine has used so far. Fails if it is gone. */
export const readUsage = async (pid: number): Promise<ProcessUsage> => {
  const [status, stat, links] = await Promise.all([
    readFile(`/proc/${pid}/status`, "utf8"),
    readFile(`/proc/${pid}/stat`, "utf8"),
    readDescriptors(pid),
  ])
  const mebibytes = (field: string): number =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1]) / 1024
  // the name in parentheses may hold spaces; utime and stime are the 12th and 13th field after it
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  return {
    residentMiB: mebibytes("VmRSS"),
    peakMiB: mebibytes("VmHWM"),
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond,
    descriptors: links.length,
    sockets: links.filter((link) => link.startsWith("socket:")).length,
  }
}
