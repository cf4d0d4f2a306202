import { isAscii } from "node:buffer"
import { execFile, execFileSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { version } from "../../src/version.ts"
import { type Form, repositoryFile, runReflow } from "../support/reflow.ts"

/** A Node of this machine that the bundle does not run on, e.g. the distribution's; undefined if there is none. */
const findOldNode = (): string | undefined => {
  const candidates = (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, "node"))
  const found = candidates.find((path) => {
    const [major = 99, minor = 0] = (
      existsSync(path) ? execFileSync(path, ["-p", "process.versions.node"]).toString() : ""
    )
      .split(".", 2)
      .filter(Boolean)
      .map(Number)
    return major < 22 || (major === 22 && minor < 19)
  })
  if (found === undefined)
    console.warn("!!! no Node before 22.19 is installed: what the bundle tells it is not tried !!!")
  return found
}

const forms: readonly Form[] = ["bundle", "executable", "deno"]

describe.each(forms)("the program as %s", (form) => {
  test("tells its version", async () => {
    const { code, stdout, stderr } = await runReflow(["--version"], { form })
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
    expect(stdout).toContain(version)
  })

  test("tells how to use it", async () => {
    const { code, stdout, stderr } = await runReflow(["--help"], { form })
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
    expect(stdout).toMatch(/reflow --role/)
  })

  test("exits with 2 when used wrongly", async () => {
    const { code, stdout, stderr } = await runReflow(["--role", "nothing"], { form })
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
    expect(stderr).toContain("nothing")
  })
})

describe("what is built", () => {
  let folder: string

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "reflow-build-"))
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  test("the bundle is ASCII, so that V8 keeps it with one byte for each character", () => {
    expect(isAscii(readFileSync(repositoryFile("dist/reflow.mjs")))).toBe(true)
  })

  test("the bundle can be run by its name", () => {
    expect(readFileSync(repositoryFile("dist/reflow.mjs"), "utf8")).toMatch(/^#!\/usr\/bin\/env node\n/)
    expect(statSync(repositoryFile("dist/reflow.mjs")).mode & 0o111).toBe(0o111)
  })

  const old = findOldNode()
  test.skipIf(old === undefined)("the bundle tells a Node that is too old which one it needs", async () => {
    const args = [repositoryFile("dist/reflow.mjs"), "--help"]
    const said = await new Promise<string>((done) => {
      execFile(old ?? "", args, (error, stdout, stderr) => done(`${error?.code} ${stdout}${stderr}`))
    })
    expect(said).toMatch(/^2 reflow needs Node 22\.19 or newer; this is Node \d+\.\d+\.\d+\n$/)
  })

  test("NODE_OPTIONS cannot load code into the executable", async () => {
    const code = join(folder, "injected.cjs")
    writeFileSync(code, 'console.log("injected")')
    const env = { NODE_OPTIONS: `--require=${code}` }
    expect((await runReflow(["--version"], { form: "bundle", env })).stdout).toContain("injected")
    expect((await runReflow(["--version"], { form: "executable", env })).stdout).not.toContain("injected")
  })
})
