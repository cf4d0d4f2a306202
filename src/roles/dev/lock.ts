import { execFileSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import { readFileSync } from "node:fs"
import { readdir, readFile, unlink } from "node:fs/promises"
import { join } from "node:path"
import { isTree } from "../../config/layer.ts"
import { AppError, systemCode } from "../../errors.ts"
import { writePrivately } from "./state-file.ts"

/** Timeout of `ps`, in milliseconds. */
const psMs = 2_000

/** Start time of a process in clock ticks since boot, with the boot's id; `ended` for a zombie (proc_pid_stat(5)). */
const linuxStart = (pid: number): { readonly start: string; readonly ended: boolean } => {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
  // the program's name is in parentheses and may itself contain parentheses
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()
  return { start: `${boot} ${fields[19]}`, ended: fields[0] === "Z" || fields[0] === "X" }
}

const psStart = (pid: number): string => {
  const args = ["-o", "lstart=", "-p", String(pid)]
  return execFileSync("/bin/ps", args, { encoding: "utf8", timeout: psMs, stdio: "pipe", env: { LC_ALL: "C" } }).trim()
}

/**
 * Start time of a process, in a format of the system's own: it distinguishes the process from a later one with the same
 * id. Undefined if it cannot be read. `ended` for a zombie: it has exited, but its parent has not read the exit code.
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
    // EPERM: the process exists and belongs to another user
    return !(error instanceof Error && "code" in error && error.code === "ESRCH")
  }
}

/**
 * True if the process with this id and this start time ({@link startOf}) still runs, or if that cannot be found out.
 */
const isRunning = (pid: number, start: string | undefined): boolean => {
  if (!exists(pid)) return false
  const now = startOf(pid)
  if (now === "ended") return false
  return now === undefined || start === undefined || now === start
}

/** Each process has a lock file of its own name, so that removing the lock of an ended process cannot hit another's. */
const lockName = /^dev-lock\.(\d{1,10})\.[0-9a-f]{8}$/

type Holder = { readonly pid: number; readonly start?: string }

const readHolder = async (file: string, pid: number): Promise<Holder | undefined> => {
  try {
    const read: unknown = JSON.parse(await readFile(file, "utf8"))
    return isTree(read) && typeof read.start === "string" ? { pid, start: read.start } : { pid }
  } catch (error) {
    // of a lock that cannot be read only the process id in its name counts; a deleted lock holds nothing
    return systemCode(error) === "ENOENT" ? undefined : { pid }
  }
}

const remove = async (file: string): Promise<void> => {
  try {
    await unlink(file)
  } catch (error) {
    if (systemCode(error) !== "ENOENT") throw error
  }
}

/** The lock of another running process, if there is one. Removes the locks of processes that have ended. */
const findOther = async (folder: string, own: string): Promise<{ file: string; pid: number } | undefined> => {
  for (const name of await readdir(folder)) {
    const pid = Number(lockName.exec(name)?.[1])
    if (Number.isNaN(pid) || name === own) continue
    const file = join(folder, name)
    const holder = await readHolder(file, pid)
    if (holder === undefined) continue
    if (isRunning(pid, holder.start)) return { file, pid }
    await remove(file)
  }
  return undefined
}

/**
 * Locks a state folder for this process; the returned function unlocks it. The lock of a killed process does not count.
 * If two processes start at the same moment, both may be refused, but never both accepted. Throws `StateInUse`.
 */
export const lockState = async (folder: string): Promise<() => Promise<void>> => {
  const own = `dev-lock.${process.pid}.${randomBytes(4).toString("hex")}`
  const file = join(folder, own)
  const start = startOf(process.pid)
  await writePrivately(file, `${JSON.stringify({ pid: process.pid, ...(start === undefined ? {} : { start }) })}\n`)
  const other = await findOther(folder, own).catch(async (error: unknown) => {
    await remove(file)
    throw error
  })
  if (other === undefined) return () => remove(file)
  await remove(file)
  throw new AppError("StateInUse", {
    detail: `Another 'reflow --role dev', process ${other.pid}, uses the state folder ${folder} (${other.file}).`,
  })
}
