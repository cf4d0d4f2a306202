import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { version } from "../../src/version.ts"
import { type Form, repositoryFile, runReflow } from "../support/reflow.ts"

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

  test("the bundle can be run by its name", () => {
    expect(readFileSync(repositoryFile("dist/reflow.mjs"), "utf8")).toMatch(/^#!\/usr\/bin\/env node\n/)
    expect(statSync(repositoryFile("dist/reflow.mjs")).mode & 0o111).toBe(0o111)
  })

  test("NODE_OPTIONS cannot load code into the executable", async () => {
    const code = join(folder, "injected.cjs")
    writeFileSync(code, 'console.log("injected")')
    const env = { NODE_OPTIONS: `--require=${code}` }
    expect((await runReflow(["--version"], { form: "bundle", env })).stdout).toContain("injected")
    expect((await runReflow(["--version"], { form: "executable", env })).stdout).not.toContain("injected")
  })
})
