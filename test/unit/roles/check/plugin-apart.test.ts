import { afterEach, beforeEach, expect, test, vi } from "vitest"
import { checkApart } from "../../../../src/roles/check/plugin-apart.ts"

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }))
afterEach(() => void vi.useRealTimers())

test("a check whose process cannot be started says so, waits for nothing more, and blames no plugin", async () => {
  const lines: string[] = []
  const to = { index: 0, write: (text: string) => void lines.push(text), print: () => {} }
  const again = { command: "/nonexistent/program", args: [], environment: {} }
  await expect(checkApart(again, { ...to, signal: new AbortController().signal })).rejects.toThrow("ENOENT")
  expect(vi.getTimerCount()).toBe(0)
  expect(lines).toEqual([])
})
