/** The processes of a Pod on the node that is this machine, as the kernel shows them. */
import { readdirSync, readFileSync } from "node:fs"

/** A process of a Pod. */
export type PodProcess = { readonly pid: number; readonly command: string; readonly state: string }

const read = (path: string): string => {
  try {
    return readFileSync(path, "utf8")
  } catch {
    // the process has ended meanwhile
    return ""
  }
}

/** All processes of a Pod, by its UID; `Z` is the state of a process that has ended and was not reaped. */
export const processesOf = (uid: string): readonly PodProcess[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => read(`/proc/${pid}/cgroup`).replaceAll("_", "-").includes(uid))
    .map((pid) => ({
      pid: Number(pid),
      command: read(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim(),
      state: /\) (\S)/.exec(read(`/proc/${pid}/stat`))?.[1] ?? "",
    }))

/** The processes whose command line has this text. */
export const processesWith = (uid: string, text: string): readonly PodProcess[] =>
  processesOf(uid).filter(({ command }) => command.includes(text))

/** The number that a process has in its Pod, where the processes are counted apart from those of the node. */
export const innerPid = (pid: number): number =>
  Number(/^NSpid:.*\s(\d+)$/m.exec(read(`/proc/${pid}/status`))?.[1] ?? Number.NaN)
