import { existsSync, rmSync } from "node:fs"
import { expect } from "vitest"
import { eventually } from "./processes.ts"

/**
 * Begins a call of the tool `slow`, gives it up once the server is at work, and resolves when the server has seen that;
 * fails if that takes longer than a second. `cancelFile` is the server's CANCEL_FILE.
 */
export const giveUpSlow = async (
  cancelFile: string,
  call: (signal: AbortSignal) => Promise<unknown>,
): Promise<void> => {
  const began = `${cancelFile}.began`
  for (const file of [cancelFile, began]) rmSync(file, { force: true })
  const leave = new AbortController()
  const outcome = call(leave.signal)
  outcome.catch(() => {})
  await eventually(() => existsSync(began), 15_000, "the server is at work")
  expect(existsSync(cancelFile)).toBe(false)
  leave.abort()
  await eventually(() => existsSync(cancelFile), 1_000, "the server saw that the call was given up")
  await expect(outcome).rejects.toThrow()
}
