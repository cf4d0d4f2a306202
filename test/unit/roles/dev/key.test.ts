import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, test } from "vitest"
import { hasCode } from "../../../../src/errors.ts"
import { ensureDevKey, keyFile } from "../../../../src/roles/dev/key.ts"

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "reflow-key-"))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const refusal = async (stateDir: string): Promise<string> => {
  const error = await ensureDevKey(stateDir).catch((each) => each)
  return hasCode(error, "ConfigInvalid") ? error.message : `no refusal: ${error}`
}

test("the key is made once, in a folder that is made too, and only its owner can read it", async () => {
  const state = join(folder, "a", "b")
  const key = await ensureDevKey(state)
  expect(key.byteLength).toBe(32)
  expect(statSync(keyFile(state)).mode & 0o777).toBe(0o600)
  expect(statSync(state).mode & 0o077).toBe(0)
  expect(await ensureDevKey(state)).toEqual(key)
})

test("many that start at once get one key and leave one file", async () => {
  const keys = await Promise.all(Array.from({ length: 20 }, () => ensureDevKey(folder)))
  expect(new Set(keys.map((key) => Buffer.from(key).toString("hex"))).size).toBe(1)
  expect(readdirSync(folder)).toHaveLength(1)
})

test("a damaged key, one that others can read, and a folder that cannot be made are refused with what to do", async () => {
  writeFileSync(keyFile(folder), "short\n", { mode: 0o600 })
  expect(await refusal(folder)).toContain("is damaged: remove it")
  chmodSync(keyFile(folder), 0o644)
  expect(await refusal(folder)).toContain(`chmod 600 ${keyFile(folder)}`)
  expect(await refusal(keyFile(folder))).toContain("name another folder with dev.state_dir")
})
