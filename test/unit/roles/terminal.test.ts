import { expect, test } from "vitest"
import { createTerminal } from "../../../src/roles/terminal.ts"

const screen = (isTTY: boolean) => {
  let text = ""
  const terminal = createTerminal({ isTTY, columns: 30, write: (more) => (text += more) })
  return { terminal, written: () => text }
}

test("on a terminal progress is one line, which log lines do not garble", () => {
  const { terminal, written } = screen(true)
  terminal.progress("a starts")
  terminal.line("log\n")
  terminal.progress("")
  terminal.line("end\n")
  expect(written()).toBe("\r\u001b[Ka starts\r\u001b[Klog\na starts\r\u001b[Kend\n")
})

test("progress is never wider than the terminal: it could not be taken away", () => {
  const { terminal, written } = screen(true)
  terminal.progress("x".repeat(100))
  expect(written()).toBe(`\r\u001b[K${"x".repeat(29)}`)
})

test("elsewhere only lines are written", () => {
  const { terminal, written } = screen(false)
  terminal.progress("a starts")
  terminal.line("log\n")
  expect(written()).toBe("log\n")
})
