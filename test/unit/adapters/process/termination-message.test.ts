import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, expect, test } from "vitest"
import { createLogRing } from "../../../../src/adapters/process/log-ring.ts"
import {
  logMessage,
  messageFileOf,
  prepareMessageFile,
  takeMessage,
} from "../../../../src/adapters/process/termination-message.ts"

const folder = mkdtempSync(join(tmpdir(), "reflow-message-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

let files = 0
const fresh = (): string => join(folder, `message-${++files}`)
const written = (text: string | Buffer): string => {
  const file = fresh()
  writeFileSync(file, text)
  return file
}

const ringOf = (lines: readonly string[]) => {
  const ring = createLogRing()
  for (const line of lines) ring.add(line)
  return ring
}
const plain = async (text: string) => text

test("the last words are at most 80 lines and 2048 bytes, the end of the log, whole characters", async () => {
  const numbers = Array.from({ length: 100 }, (_, index) => `line ${index}`)
  expect(await logMessage(ringOf(numbers), plain)).toMatch(/^line 20\n[\s\S]*line 99\n$/)
  const long = await logMessage(ringOf(["ö".repeat(1500)]), plain)
  expect(Buffer.byteLength(long)).toBeLessThanOrEqual(2048)
  expect(long).toMatch(/^ö+\n$/)
})

test("what is hidden is hidden before the cut, so that no end of it stays", async () => {
  const secret = `canary${"x".repeat(100)}`
  const words = await logMessage(ringOf([secret + "y".repeat(2000)]), async (text) => text.replaceAll(secret, "•"))
  expect(words).toBe(`•${"y".repeat(2000)}\n`)
})

test("a container's file is the one that it names; Kubernetes' default is no file of this machine", () => {
  const container = { name: "c", image: "i" }
  const fileOf = (terminationMessagePath: string) => messageFileOf({ ...container, terminationMessagePath }, "/srv")
  expect(messageFileOf(container, "/srv")).toBeUndefined()
  expect(fileOf("")).toBeUndefined()
  expect(fileOf("/dev/termination-log")).toBeUndefined()
  expect(fileOf("/run/message")).toBe("/run/message")
  expect(fileOf("message")).toBe("/srv/message")
})

test("a message is read once: the file is gone afterwards, and no file is no message", async () => {
  const file = written("two\nlines\n")
  expect(await takeMessage(file)).toBe("two\nlines\n")
  expect(existsSync(file)).toBe(false)
  expect(await takeMessage(file)).toBe("")
})

test("of a long message the last 4096 bytes are read, whole characters", async () => {
  expect(await takeMessage(written(`${"x".repeat(9_000)}${"y".repeat(4_096)}`))).toBe("y".repeat(4_096))
  expect(await takeMessage(written("z".repeat(4_096)))).toBe("z".repeat(4_096))
  expect(await takeMessage(written(`${"ö".repeat(3_000)}!`))).toBe(`${"ö".repeat(2_047)}!`)
  expect(await takeMessage(written(`${"😀".repeat(2_000)}!`))).toBe(`${"😀".repeat(1_023)}!`)
  const broken = await takeMessage(written(Buffer.alloc(9_000, 0xff)))
  expect(broken).toMatch(/^\ufffd+$/)
  expect(Buffer.byteLength(broken)).toBeLessThanOrEqual(4_096)
})

test("what stands in the file's place is neither followed nor waited for", async () => {
  const link = fresh()
  const aim = written("a file of the user")
  symlinkSync(aim, link)
  expect(await takeMessage(link)).toBe("")
  expect([existsSync(link), existsSync(aim)]).toEqual([false, true])
  const pipe = fresh()
  expect(spawnSync("mkfifo", [pipe]).status).toBe(0)
  expect(await takeMessage(pipe)).toBe("")
  const inner = fresh()
  mkdirSync(inner)
  expect(await takeMessage(inner)).toBe("")
})

test("a run begins without the message of an earlier one, in a folder that exists", async () => {
  const file = join(folder, "new", "folder", "message")
  await prepareMessageFile(file)
  expect(existsSync(join(folder, "new", "folder"))).toBe(true)
  writeFileSync(file, "of an earlier run")
  await prepareMessageFile(file)
  expect(await takeMessage(file)).toBe("")
  await prepareMessageFile("/proc/no-such-folder/message")
})
