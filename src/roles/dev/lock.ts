import { execFileSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import { readFileSync } from "node:fs"
import { readdir, readFile, unlink } from "node:fs/promises"
import { join } from "node:path"
import { isTree } from "../../config/layer.ts"
import { AppError } from "../../errors.ts"
import { codeOf, writePrivately } from "./state-file.ts"

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
const isRunning = (pid: number, start: string | undefined): boolean => {
  if (!exists(pid)) return false
  const now = startOf(pid)
  if (now === "ended") return false
  return now === undefined || start === undefined || now === start
}

/** Each process has a lock of its own name, so that removing the one of a dead process can never hit another's. */
const lockName = /^dev-lock\.(\d{1,10})\.[0-9a-f]{8}$/

type Holder = { readonly pid: number; readonly start?: string }

const readHolder = async (file: string, pid: number): Promise<Holder | undefined> => {
  try {
    const read: unknown = JSON.parse(await readFile(file, "utf8"))
    return isTree(read) && typeof read.start === "string" ? { pid, start: read.start } : { pid }
  } catch (error) {
    // a lock that cannot be read is judged by its name alone; one that has gone holds nothing
    return codeOf(error) === "ENOENT" ? undefined : { pid }
  }
}

const remove = async (file: string): Promise<void> => {
  try {
    await unlink(file)
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error
  }
}

/** The lock of another process that runs, if there is one; those of processes that are gone are removed. */
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
 * Takes a state folder for this process; the returned function gives it back. The lock of a process that was killed
 * counts no longer. Of two that begin in the same moment both may be refused, but never both let in. Throws `StateInUse`.
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
    detail: `Another 'reflow --role dev', process ${other.pid}, works with the state folder ${folder} (${other.file}).`,
  })
}
