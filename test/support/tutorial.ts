import { readFileSync } from "node:fs"
import { repositoryFile } from "./reflow.ts"

const page = readFileSync(repositoryFile("docs/plugins.md"), "utf8")

/** The block of docs/plugins.md that follows the comment `test: MARK`: a file's text, commands, or what they print. */
export const documented = (mark: string): string => {
  const quoted = mark.replaceAll(".", "\\.")
  const found = new RegExp(`<!-- test: ${quoted} -->\\n\`\`\`\\w+\\n([\\s\\S]*?)\`\`\``).exec(page)?.[1]
  if (found === undefined) throw new Error(`docs/plugins.md has no block '${mark}'`)
  return found
}

/** The first column of the table under a heading of docs/plugins.md, without its backticks. */
export const documentedNames = (heading: string): readonly string[] => {
  const [, section = ""] = page.split(`## ${heading}\n`)
  const [own = ""] = section.split(/\n###? /)
  return [...own.matchAll(/^\| (`[^|]+`) \|/gm)].flatMap(([, cell = ""]) =>
    [...cell.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name),
  )
}
