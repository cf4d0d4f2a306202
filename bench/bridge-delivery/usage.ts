/** Memory of the processes of Pods, and disk of a Pod, on a node that is this machine. */
import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { promisify } from "node:util"
import { processesOf } from "../../test/kubernetes/support/pod-processes.ts"
import { type Memory, parseMemory } from "../stdio-usage.ts"

/** Memory of a Pod's processes. */
export type PodMemory = {
  readonly server: Memory
  /** Absent if the server speaks HTTP itself. */
  readonly bridge?: Memory
}

/** Which part of a Pod a process is, by its command line with blanks between; undefined = it is neither. */
export const partOf = (command: string, script: string): "bridge" | "server" | undefined => {
  const words = command.split(" ")
  // the bridge's own command line ends with that of the server
  const own = words.slice(0, words.includes("--") ? words.indexOf("--") : words.length)
  if (own.some((word, index) => word === "--role" && own[index + 1] === "bridge")) return "bridge"
  return words[1] === script ? "server" : undefined
}

/** Memory of the only process of a part; throws if there is none, or more than one. */
const memoryOf = (uid: string, part: string, pids: readonly number[]): Memory => {
  const [pid, ...more] = pids
  if (pid === undefined || more.length > 0) throw new Error(`Pod ${uid} has ${pids.length} processes as its ${part}`)
  return parseMemory(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))
}

/** Memory of a Pod whose server runs `script`. */
export const readPodMemory = (uid: string, script: string, hasBridge: boolean): PodMemory => {
  const parts = Map.groupBy(processesOf(uid), ({ command }) => partOf(command, script))
  const pidsOf = (part: "bridge" | "server") => (parts.get(part) ?? []).map(({ pid }) => pid)
  const server = memoryOf(uid, "server", pidsOf("server"))
  return hasBridge ? { server, bridge: memoryOf(uid, "bridge", pidsOf("bridge")) } : { server }
}

/** The kubelet's folder of the cluster that was built beside this kubectl. */
const kubeletOf = (kubectl: string): string => resolve(dirname(kubectl), "../kubelet")

/** Bytes on disk of all volumes that the kubelet has made for one Pod. An image volume is not among them: it is shared. */
export const readPodDisk = async (kubectl: string, uid: string): Promise<number> => {
  const folder = join(kubeletOf(kubectl), "pods", uid, "volumes")
  const { stdout } = await promisify(execFile)("du", ["-skx", folder])
  return Number.parseInt(stdout, 10) * 1024
}
