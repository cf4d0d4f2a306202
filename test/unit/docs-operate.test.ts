import { globSync, readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { describe, expect, test } from "vitest"
import { phases } from "../../src/api/kinds/mcp-instance.ts"
import * as reasons from "../../src/operator/reasons.ts"

const root = resolve(import.meta.dirname, "../..")
const page = readFileSync(join(root, "docs/operate.md"), "utf8")

/** The text between a heading or sentence that begins so and the next heading or table. */
const part = (begin: string): string => {
  const [, after = ""] = page.split(`\n${begin}`)
  return after.split(/\n(?=#|(?:Available|AccessResolved): )/)[0] ?? ""
}
/** Rows of the table under a heading: the cells of each. */
const rows = (begin: string): readonly (readonly string[])[] =>
  part(begin)
    .split("\n")
    .filter((line) => /^\| [`\w]/.test(line))
    .map((line) => line.slice(2, -2).split(/(?<!\\)\s*\|\s/))
    .slice(1)
const names = (begin: string): readonly string[] => rows(begin).map(([cell = ""]) => cell.replaceAll("`", ""))

const operator = globSync(["src/operator/**/*.ts", "src/plugin/host.ts"], { cwd: root })
  .filter((path) => !path.endsWith("reasons.ts"))
  .map((path) => readFileSync(join(root, path), "utf8"))
  .join("\n")

/** Every metric that the program defines, with its labels. */
const defined = new Map<string, string>()
for (const path of globSync("src/**/*.ts", { cwd: root })) {
  const text = readFileSync(join(root, path), "utf8")
  for (const [, name = ""] of text.matchAll(/"((?:reflow|controller_runtime|workqueue|leader|rest)_[a-z_]+)"/g))
    if (!name.startsWith("reflow_mcp")) defined.set(name, path)
}

describe("docs/operate.md has every reason of the code and no other", () => {
  const tables: readonly [string, readonly string[]][] = [
    ["## Phases of an instance", phases],
    ["## Condition Ready", reasons.readyReasons],
    ["## Condition Admitted", reasons.admittedReasons],
    ["## Condition PodReady", reasons.podReadyReasons],
    ["## Condition Draining", reasons.drainingReasons],
    ["Accepted: ", reasons.acceptedReasons],
    ["Available: ", reasons.availableReasons],
    ["AccessResolved: ", reasons.accessReasons],
    ["## Events", reasons.eventReasons],
  ]
  test.each(tables)("%s", (heading, expected) => {
    expect(names(heading).toSorted()).toEqual(expected.toSorted())
  })

  test("and says of each what it means and what to do", () => {
    for (const [heading] of tables.slice(1))
      for (const row of rows(heading))
        expect(
          row.filter((cell) => /^[A-Z`].*\S/.test(cell)),
          row[0],
        ).toHaveLength(3)
  })
})

test("every reason of the code's tables is set somewhere", () => {
  const made = (reason: string) => [reason, reason.replace(/^(Pod|Service)(?=Forbidden|Invalid)/, `\${kind}`)]
  const all = Object.values(reasons)
    .filter((each) => typeof each !== "function")
    .flat()
  const dead = all.filter((reason) => !made(reason).some((text) => operator.includes(text)))
  expect(dead).toEqual([])
})

test("docs/operate.md has every metric of the code and no other", () => {
  expect(names("## Metrics").toSorted()).toEqual([...defined.keys()].toSorted())
})

test("links inside docs/operate.md lead to headings", () => {
  const anchors = [...page.matchAll(/^##+ (.*)$/gm)].map(([, title = ""]) => title.toLowerCase().replaceAll(" ", "-"))
  for (const [, anchor] of page.matchAll(/\]\(#([\w-]+)\)/g)) expect(anchors).toContain(anchor)
})
