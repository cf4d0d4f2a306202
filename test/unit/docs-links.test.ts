import { existsSync, globSync, readFileSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { describe, expect, test } from "vitest"
import { answeredFindings } from "../support/kube-score.ts"

const root = resolve(import.meta.dirname, "../..")
const pages = globSync("{*.md,docs/**/*.md,bench/**/*.md}", { cwd: root }).sort()
const read = (path: string): string => readFileSync(join(root, path), "utf8")

/** Text without its code blocks, in which `#` and brackets mean something else. */
const prose = (text: string): string => text.replaceAll(/^```[\s\S]*?^```$/gm, "")

/** Headings as the anchors that GitHub makes of them. */
const anchorsOf = (path: string): readonly string[] =>
  [...prose(read(path)).matchAll(/^#+ (.*)$/gm)].map(([, title = ""]) =>
    title
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  )

const brokenLinks = (page: string): string[] =>
  [...prose(read(page)).matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link = ""]) => {
    if (/^[a-z]+:/.test(link)) return []
    const [path = "", anchor] = link.split("#")
    const file = path === "" ? page : join(dirname(page), path)
    if (!existsSync(join(root, file))) return [link]
    return anchor === undefined || anchorsOf(file).includes(anchor) ? [] : [link]
  })

test.each(pages)("every link of %s leads to a file that is there, and to a heading in it", (page) => {
  expect(brokenLinks(page)).toEqual([])
})

describe("docs/security.md", () => {
  const page = read("docs/security.md")

  test("says what holds a guarantee by naming tests that are there", () => {
    const named = [...page.matchAll(/`(test\/[\w./-]+)`/g)].map(([, path = ""]) => path)
    expect(named.length).toBeGreaterThan(15)
    expect(named.filter((path) => !existsSync(join(root, path)))).toEqual([])
    const [, guarantees = ""] = page.split("## What is guaranteed\n")
    const rows = (guarantees.split("\n## ")[0] ?? "").split("\n").filter((line) => line.startsWith("| "))
    for (const row of rows.slice(1)) expect(row).toMatch(/`test\/[\w./-]+`[^|]*\|$/)
  })

  test("answers findings of kube-score, each once", () => {
    const answered = answeredFindings(page)
    expect(answered.length).toBeGreaterThan(10)
    expect(new Set(answered).size).toBe(answered.length)
  })
})
