import { spawn } from "node:child_process"
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { afterEach, beforeEach, expect, test } from "vitest"
import { writePrivately } from "../../../../src/roles/dev/state-file.ts"

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "reflow-private-"))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))
const file = () => join(folder, "file")

test("a file is its owner's alone, also where a crash left a draft that others can read", async () => {
  writeFileSync(`${file()}.draft`, "half")
  chmodSync(`${file()}.draft`, 0o644)
  await writePrivately(file(), "whole")
  expect(readFileSync(file(), "utf8")).toBe("whole")
  expect(statSync(file()).mode & 0o777).toBe(0o600)
  expect(readdirSync(folder)).toEqual(["file"])
})

test("a write that fails leaves the file as it was", async () => {
  await writePrivately(file(), "before")
  chmodSync(folder, 0o500)
  const outcome = await writePrivately(file(), "after").catch((error) => error.code)
  chmodSync(folder, 0o700)
  // root may write everywhere
  expect([outcome, readFileSync(file(), "utf8")]).toEqual(
    process.getuid?.() === 0 ? [undefined, "after"] : ["EACCES", "before"],
  )
})

test("whenever the writer is killed, the file is whole", { timeout: 60_000 }, async () => {
  const module = resolve(import.meta.dirname, "../../../../src/roles/dev/state-file.ts")
  const script = `
    const { writePrivately } = await import(${JSON.stringify(module)})
    for (let round = 0; ; round++) {
      await writePrivately(${JSON.stringify(file())}, JSON.stringify(Array(200_000).fill(round)))
      if (round === 0) console.log("written")
    }`
  for (let round = 0; round < 8; round++) {
    const child = spawn(process.execPath, ["--input-type=module", "-e", script])
    const ended = new Promise((done) => child.once("exit", done))
    await new Promise((written) => child.stdout.once("data", written))
    await new Promise((later) => setTimeout(later, 7 * round))
    child.kill("SIGKILL")
    await ended
    const read = JSON.parse(readFileSync(file(), "utf8"))
    expect(new Set(read).size).toBe(1)
  }
})
