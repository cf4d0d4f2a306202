import { describe, expect, test } from "vitest"
import { createBridgeLog } from "../../../src/bridge/log.ts"

const createStream = () => {
  const written: string[] = []
  const { write, end } = createBridgeLog((text) => void written.push(text)).stream("c1")
  return { written, write: (text: string | Buffer) => write(Buffer.from(text)), end }
}

test("a line of the log says whether the bridge or a child wrote it", () => {
  const written: string[] = []
  const log = createBridgeLog((text) => void written.push(text))
  log.note("listening")
  log.line("c1", "hello")
  expect(written).toEqual(["reflow-bridge: listening\n", "[c1] hello\n"])
})

describe("what a child writes to its stderr", () => {
  test("has its label on each line, however the pipe cut the lines", () => {
    const { written, write } = createStream()
    for (const piece of ["one\ntw", "o", "\n", "\nfour", "\n"]) write(piece)
    expect(written.join("")).toBe("[c1] one\n[c1] two\n[c1] \n[c1] four\n")
  })

  test("keeps its characters, even if the pipe cut each of them", () => {
    const { written, write, end } = createStream()
    const words = "é€𝄞 漢字\n𝄞"
    for (const byte of Buffer.from(words)) write(Buffer.from([byte]))
    end()
    expect(written).toEqual(["[c1] é€𝄞 漢字\n", "[c1] 𝄞\n"])
  })

  test("is held until its line ends, or the child does", () => {
    const { written, write, end } = createStream()
    write("no end")
    expect(written).toEqual([])
    end()
    end()
    expect(written).toEqual(["[c1] no end\n"])
  })

  test("shows a character that never ended as one that is broken", () => {
    const { written, write, end } = createStream()
    write(Buffer.from("€").subarray(0, 2))
    end()
    expect(written).toEqual(["[c1] \ufffd\n"])
  })

  test("is written in parts if its line does not end, and no character is lost", () => {
    const { written, write } = createStream()
    for (let at = 0; at < 100; at++) write("x".repeat(1_000))
    expect(written.length).toBeGreaterThan(4)
    expect(Math.max(...written.map((part) => part.length))).toBeLessThan(20_000)
    write("\n")
    expect(written.join("").replaceAll(/\[c1\] |\n/g, "")).toBe("x".repeat(100_000))
    write("next\n")
    expect(written.at(-1)).toBe("[c1] next\n")
  })
})
