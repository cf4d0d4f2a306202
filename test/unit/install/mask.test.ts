import { expect, test } from "vitest"
import { createLineCutter, longestLine, tooLong } from "../../../src/install/lines.ts"
import { createMask } from "../../../src/install/mask.ts"

const secret = 'p/ss wörd?"&='

test("a secret is masked in every form in which programs repeat it", () => {
  const mask = createMask([secret, `reader:${secret}`])
  const forms = [
    secret,
    encodeURIComponent(secret),
    encodeURI(secret),
    JSON.stringify(secret),
    Buffer.from(secret).toString("base64"),
    Buffer.from(secret).toString("base64url"),
    `Basic ${Buffer.from(`reader:${secret}`).toString("base64")}`,
  ]
  expect(forms.map((form) => mask(`<${form}>`))).toEqual([
    "<***>",
    "<***>",
    "<***>",
    '<"***">',
    "<***>",
    "<***>",
    "<Basic ***>",
  ])
})

test("a secret within another one leaves nothing of the longer one", () => {
  expect(createMask(["abcd", "abcdefgh"])("abcdefgh abcd")).toBe("*** ***")
})

test("whoever stands in a URL is masked, without being known", () => {
  const mask = createMask([])
  expect(mask("GET https://user:pass@npm.example.com/x and http://token@h/")).toBe(
    "GET https://***@npm.example.com/x and http://***@h/",
  )
  expect(mask("https://a:b@c@npm.example.com/")).toBe("https://***@npm.example.com/")
  expect(mask("https://npm.example.com/@scope/x mail@x.example")).toBe(
    "https://npm.example.com/@scope/x mail@x.example",
  )
})

test("text of no secret stays as it is", () => {
  expect(createMask(["", "a"])("a plain text")).toBe("a plain text")
})

test("lines are the same however the pipe cuts them", () => {
  const text = "one\r\n\ntwo ä\n  three\nlast"
  const bytes = Buffer.from(text)
  for (let size = 1; size <= bytes.length; size++) {
    const lines: string[] = []
    const cutter = createLineCutter((line) => lines.push(line))
    for (let at = 0; at < bytes.length; at += size) cutter.push(bytes.subarray(at, at + size))
    cutter.end()
    expect(lines).toEqual(["one", "two ä", "  three", "last"])
  }
})

test("a line that is too long is left out, and takes no memory", () => {
  const lines: string[] = []
  const cutter = createLineCutter((line) => lines.push(line))
  for (let at = 0; at < 100; at++) cutter.push(Buffer.alloc(longestLine / 2, "x"))
  cutter.push(Buffer.from("\nshort\n"))
  cutter.push(Buffer.alloc(longestLine, "y"))
  cutter.end()
  expect(lines).toEqual([tooLong, "short", "y".repeat(longestLine)])
})
