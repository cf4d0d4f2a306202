import { globSync, readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { describe, expect, test } from "vitest"
import { expressionsIn, faultOf } from "../support/regular-expressions.ts"

const root = resolve(import.meta.dirname, "../..")
const paths = globSync("{src,plugins}/**/*.ts", { cwd: root })
const found = paths.map((path) => ({ path, ...expressionsIn(path, readFileSync(join(root, path), "utf8")) }))

test("no expression of the program or its plugins costs more than its text is long", { timeout: 120_000 }, () => {
  const faults = found.flatMap(({ path, written }) =>
    written.flatMap((each) => {
      const fault = faultOf(each)
      return fault === undefined ? [] : [`${path}:${each.line} /${each.source}/${each.flags} ${fault}`]
    }),
  )
  expect(faults).toEqual([])
})

test("every expression stands in the source as it is, where it can be judged", () => {
  expect(found.flatMap(({ written }) => written).length).toBeGreaterThan(100)
  expect(found.flatMap(({ path, computed }) => computed.map((line) => `${path}:${line}`))).toEqual([])
})

describe("the check finds", () => {
  test.each([
    ["repetition in repetition", /^(a*)*$/],
    ["two ways for one character", /^(a|a)*$/],
    ["two ways for one text", /^(a|ab|b)*$/],
    ["blanks on both sides of what may be missing", /^\s*;?\s*$/],
    ["two ways for the blank between semicolons", /^x(?:[\t ]*;[\t ]*(?:y=z)?)*$/],
    ["neighbours that overlap", /^[^s]*[a-s]*$/],
    ["neighbours of words that overlap", /^(?:ab)*(?:ab)*$/],
    ["a repetition that begins anywhere and must end at the end", /\s+$/],
    ["a repetition that begins anywhere and needs something behind it", /\w+@/],
    ["a beginning that can stand within the repetition behind it", /\beyJ[\w-]*\./],
    ["a list with blanks around its commas", /\s*,\s*/],
    ["two ways without regard to case", /^(?:k|[K-L])*$/i],
    ["a back reference", /^(['"]).*\1$/],
    ["a look-ahead that begins anywhere", /(?=a+b)c/],
    ["a look-behind", /(?<=a+)b/],
  ])("%s", (_name, { source, flags }) => {
    expect(faultOf({ source, flags })).toBeTruthy()
  })

  test.each([
    /^\s*;\s*$/,
    /^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$/,
    /:\d+$/,
    /^(?!(?:static|dev)$)[a-z]{1,30}$/,
    /[\0\p{Cs}\p{Default_Ignorable_Code_Point}]/gu,
    /([0-9]+)(?:s|m)/y,
    /\r\n|\r|\n/,
  ])("nothing in %s", ({ source, flags }) => {
    expect(faultOf({ source, flags })).toBeUndefined()
  })

  test.each([
    ["a call of the constructor", "const x = new RegExp(text)"],
    ["a call without new", "const x = RegExp(text)"],
    ["a member of the globals", "const x = new globalThis.RegExp(text)"],
    ["another name", "const R = RegExp"],
    ["an argument", "make(RegExp)"],
    ["a text that a method makes one of", 'text.match("(a*)*")'],
    ["a template that a method makes one of", "text.search(`$" + "{a}`)"],
  ])("an expression that is put together: %s", (_name, text) => {
    expect(expressionsIn("a.ts", text).computed).toEqual([1])
  })

  test("expressions with their lines, and takes types and instanceof for none", () => {
    const text = "type A = RegExp\nconst a = b instanceof RegExp\nconst c: readonly RegExp[] = [/a/g, /b\\/c/]"
    expect(expressionsIn("a.ts", text)).toEqual({
      written: [
        { line: 3, source: "a", flags: "g" },
        { line: 3, source: "b\\/c", flags: "" },
      ],
      computed: [],
    })
  })
})
