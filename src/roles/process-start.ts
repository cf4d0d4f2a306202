import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"

/** Longest wait for `ps`. */
const psMs = 2_000

/** When a process was started, in ticks since the boot, and whether it is more than an entry (proc_pid_stat(5)). */
const linuxStart = (pid: number): { readonly start: string; readonly ended: boolean } => {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
  // the name of the program stands in parentheses, and may have some itself
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()
  return { start: `${boot} ${fields[19]}`, ended: fields[0] === "Z" || fields[0] === "X" }
}

const psStart = (pid: number): string => {
  const args = ["-o", "lstart=", "-p", String(pid)]
  return execFileSync("/bin/ps", args, { encoding: "utf8", timeout: psMs, stdio: "pipe", env: { LC_ALL: "C" } }).trim()
}

/**
 * What tells a process from a later one of the same id: when it was started, in the system's words. Undefined if the
 * system does not tell. An ended process whose parent has not asked for its exit code has none either: `ended`.
 */
export const startOf = (pid: number, platform: NodeJS.Platform = process.platform): string | "ended" | undefined => {
  try {
    if (platform !== "linux") return psStart(pid) || undefined
    const { start, ended } = linuxStart(pid)
    return ended ? "ended" : start
  } catch {
    return undefined
  }
}

const exists = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // EPERM: it is somebody else's
    return !(error instanceof Error && "code" in error && error.code === "ESRCH")
  }
}

/** True if the process that had this id when {@link startOf} said `start` still runs; also if that cannot be known. */
export const isRunning = (pid: number, start: string | undefined): boolean => {
  if (!exists(pid)) return false
  const now = startOf(pid)
  if (now === "ended") return false
  return now === undefined || start === undefined || now === start
}
