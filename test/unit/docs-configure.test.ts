import { readFileSync } from "node:fs"
import { resolve } from "node:path"
import { expect, test } from "vitest"
import { parse } from "yaml"
import { helpText } from "../../src/cli/commands.ts"
import { checkLayer } from "../../src/config/check.ts"
import { type KeyNode, keyAt, leafKeys } from "../../src/config/key-tree.ts"
import { loadConfig } from "../../src/config/load.ts"

const file = resolve(import.meta.dirname, "../../docs/configure.md")
const page = readFileSync(file, "utf8")

/** The keys below a section, however deep, each with `before` in front of its name. */
const below = (node: KeyNode, before: string): readonly (readonly [string, KeyNode])[] =>
  [...node.children].flatMap(([name, child]): readonly (readonly [string, KeyNode])[] =>
    child.shape === "section" ? below(child, `${before}${name}.`) : [[`${before}${name}`, child]],
  )

/** The keys of a place such as `kubernetes` or `auth.tokens[]`, by the name to show. */
const keysOf = (place: string): readonly (readonly [string, KeyNode])[] => {
  const path = place
    .replace("[]", ".0")
    .split(".")
    .map((part) => (part === "0" ? 0 : part))
  const node = keyAt(path)
  if (node === undefined) throw new Error(`no such place: ${place}`)
  if (node.shape !== "section") return [[place, node]]
  return below(node, place.includes("[]") ? "" : `${place}.`)
}

const fallbackText = ({ fallback }: KeyNode): string => {
  if (fallback === undefined) return ""
  return fallback === "" ? "empty" : `\`${typeof fallback === "string" ? fallback : JSON.stringify(fallback)}\``
}

const cell = (text: string): string => text.replaceAll("|", "\\|")

const row = ([name, node]: readonly [string, KeyNode]): string =>
  `| \`${name}\` | ${fallbackText(node)} | ${cell(node.description)} | ${cell(node.allowed)} |`

const table = (place: string): string =>
  ["| key | default | meaning | allowed |", "|---|---|---|---|", ...keysOf(place).map(row)].join("\n")

/** The page with everything between its markers made anew from the schema. */
const renewed = page
  .replace(
    /<!-- keys: (\S+) -->\n(?:\n*\|[^\n]*)*\n*/g,
    (_all, place: string) => `<!-- keys: ${place} -->\n\n${table(place)}\n\n`,
  )
  .replace(/<!-- help -->\n(?:\n```text\n[\s\S]*?\n```)?\n*/, `<!-- help -->\n\n\`\`\`text\n${helpText}\`\`\`\n\n`)

test("docs/configure.md has every key with its default, and the help as it is", async () => {
  await expect(renewed).toMatchFileSnapshot(file)
  for (const key of leafKeys.keys()) expect(page, key).toContain(`| \`${key}\` |`)
})

test("the file that docs/configure.md shows is valid", () => {
  const [, example = ""] = /```yaml\n([\s\S]*?)```/.exec(page) ?? []
  const values = parse(example)
  expect(Object.keys(values)).toContain("kubernetes")
  expect(checkLayer({ values, problems: [], sourceOf: () => "" })).toEqual([])
})

test("docs/configure.md names every default that differs in the role dev", () => {
  const load = (role?: "dev") => loadConfig({ settings: { file: undefined, assignments: [] }, role, environment: {} })
  const [plain, dev] = [load(), load("dev")]
  const [, section = ""] = page.split("## What differs with `--role dev`")
  for (const key of leafKeys.keys()) {
    const path = key.split(".")
    const differs = dev.sourceOf(path) !== plain.sourceOf(path)
    expect(section.split("## ")[0]?.includes(`\`${key}\``), key).toBe(differs)
  }
})
