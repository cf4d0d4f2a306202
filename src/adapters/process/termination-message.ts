import { constants } from "node:fs"
import { mkdir, open, unlink } from "node:fs/promises"
import { dirname, resolve } from "node:path"
import type { Container } from "../../api/kinds/pod.ts"
import type { LogRing } from "./log-ring.ts"

/** Kubernetes' default of terminationMessagePath. It is no file of this machine, so there is no message then. */
const defaultPath = "/dev/termination-log"

/** Most bytes of a message from a file, as with a kubelet. */
const mostFileBytes = 4_096

/** Most lines and bytes of a message from the log, as with a kubelet. */
const mostLogLines = 80
const mostLogBytes = 2_048

/** The last `bytes` bytes as text, without half a character. */
const lastBytes = (whole: Buffer, bytes: number): string => {
  let start = Math.max(whole.length - bytes, 0)
  // bytes 10xxxxxx continue a character
  while (start > 0 && start < whole.length && ((whole[start] ?? 0) & 0xc0) === 0x80) start++
  return whole.subarray(start).toString()
}

/**
 * The end of the log that the kubelet uses as the message of a failed container: at most 80 lines and 2048 bytes.
 * `hide` masks secrets; it is applied before the cut, so that no part of a secret is left.
 */
export const logMessage = async (ring: LogRing, hide: (text: string) => Promise<string>): Promise<string> =>
  lastBytes(Buffer.from(await hide(ring.read({ tailLines: mostLogLines }))), mostLogBytes)

/** The file that a container writes its message into; undefined if it names none of this machine. */
export const messageFileOf = (container: Container, workingDirectory: string): string | undefined => {
  const { terminationMessagePath: path = "" } = container
  return path === "" || path === defaultPath ? undefined : resolve(workingDirectory, path)
}

/** Deletes a file, if there is one and it may be deleted. */
const remove = (file: string): Promise<void> => unlink(file).catch(() => {})

/**
 * Makes a folder and those above it. Node's own `recursive` never comes to an end where the file system refuses a folder
 * with ENOENT, as /proc does.
 */
const makeFolder = async (folder: string): Promise<void> => {
  const error: unknown = await mkdir(folder, { mode: 0o700 }).catch((reason: unknown) => reason)
  const isOrphan = error instanceof Error && "code" in error && error.code === "ENOENT"
  if (!isOrphan || dirname(folder) === folder) return
  await makeFolder(dirname(folder))
  await mkdir(folder, { mode: 0o700 }).catch(() => {})
}

/**
 * Makes the file's folder and deletes what an earlier run left, because a kubelet gives each run a file of its own.
 * Never rejects: the container says what it cannot write.
 */
export const prepareMessageFile = async (file: string): Promise<void> => {
  await makeFolder(dirname(file))
  await remove(file)
}

/**
 * What the container wrote. It may have replaced its file: a link is not followed, a pipe does not block, and of a huge
 * file only the end is read.
 */
const contentOf = async (file: string): Promise<string> => {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
  const handle = await open(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  try {
    const stat = await handle.stat()
    if (!stat.isFile()) return ""
    // one byte more shows whether the beginning is missing
    const most = mostFileBytes + 1
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(most), 0, most, Math.max(stat.size - most, 0))
    const text = lastBytes(buffer.subarray(0, bytesRead), mostFileBytes)
    // a byte that belongs to no character becomes a longer one
    return lastBytes(Buffer.from(text), mostFileBytes)
  } finally {
    await handle.close()
  }
}

/** Reads the file's last 4,096 bytes after a container's end, and deletes it; "" if there is none. Never rejects. */
export const takeMessage = async (file: string): Promise<string> => {
  const text = await contentOf(file).catch(() => "")
  await remove(file)
  return text
}
