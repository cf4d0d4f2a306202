import { execFile } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { contracts, schemas } from "../../src/admin/contracts.ts"
import { isOperation } from "../../src/admin/operations.ts"
import { operationNames } from "../support/admin-document.ts"
import { type Reflow, repositoryFile, startReflow } from "../support/reflow.ts"

const page = readFileSync(repositoryFile("docs/api.md"), "utf8")
/** The page's commands, by the call in the comment before each, in their order. */
const blocks = [...page.matchAll(/<!-- call: (\w+) -->\n```sh\n([\s\S]*?)```/g)].map(
  ([, name = "", text = ""]) => [name, text] as const,
)

let reflow: Reflow
let folder: string
beforeAll(async () => {
  reflow = await startReflow({ targets: "" })
  folder = mkdtempSync(join(tmpdir(), "reflow-api-docs-"))
})
afterAll(async () => {
  await reflow.stop()
  rmSync(folder, { recursive: true, force: true })
})

/** The shell's variables that the page sets. */
const variables = [...new Set([...page.matchAll(/^([A-Z]+)=/gm)].map(([, name]) => name))]

/** Runs a block as it stands, but for the port; the shell's variables live on from block to block. */
const run = (text: string): Promise<{ code: number; stdout: string; stderr: string }> => {
  const saved = join(folder, "variables")
  const keep = variables.map((name) => `echo "${name}='$${name}'"`).join("; ")
  const command = text.replaceAll("http://127.0.0.1:8080", reflow.url)
  const script = `set -e; [ ! -e ${saved} ] || . ${saved}\n${command}\n{ ${keep}; } > ${saved}`
  const env = { ...process.env, HOME: reflow.folder, REFLOW_DEV__STATE_DIR: join(reflow.folder, "state") }
  return new Promise((done) =>
    execFile("sh", ["-c", script], { cwd: repositoryFile("."), env }, (error, stdout, stderr) =>
      done({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    ),
  )
}

test("every call has a command, and every command is of a call", () => {
  expect(blocks.map(([name]) => name).sort()).toEqual(["prepare", ...operationNames].sort())
  expect(page.match(/```sh/g)).toHaveLength(blocks.length)
})

describe("the command of", () => {
  test.each(blocks)("%s works as it stands", async (name, text) => {
    const { code, stdout, stderr } = await run(text)
    expect(code, `${stdout}\n${stderr}`).toBe(0)
    if (!isOperation(name)) return
    const { schema } = contracts[name].answer
    if (schema === undefined) expect(stdout).toBe("")
    const shape = schema === undefined || schema === "text" || schema === "document" ? undefined : schemas[schema]
    const answers = stdout.split("\n").filter((line) => line !== "")
    if (shape !== undefined)
      for (const answer of answers) expect(shape?.safeParse(JSON.parse(answer)).error?.issues).toBeUndefined()
    if (shape !== undefined) expect(answers.length).toBeGreaterThan(0)
    if (name === "testTarget")
      expect(JSON.parse(stdout)).toMatchObject({ ok: true, tools: ["add_note", "list_notes", "whoami"] })
    expect(stdout).not.toMatch(/alice-secret|for-everybody|for-engineers/)
  })
})
