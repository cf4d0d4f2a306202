/** What somebody gets who installs the published package. */
import { execFile } from "node:child_process"
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, expect, test } from "vitest"
import manifest from "../../package.json" with { type: "json" }
import { repositoryFile } from "../support/reflow.ts"

const run = promisify(execFile)

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "reflow-install-"))
})
afterAll(async () => {
  await rm(folder, { recursive: true, force: true })
})

test("the package alone is installed, without a registry and nothing in the cache, and the program runs", async () => {
  // what `prepack` would build is built already
  const pack = ["pack", "--ignore-scripts", "--json", "--pack-destination", folder]
  const [{ filename }] = JSON.parse((await run("npm", pack, { cwd: repositoryFile(".") })).stdout)
  await writeFile(join(folder, "package.json"), "{}")
  const install = ["install", "--offline", "--no-audit", "--no-fund", "--cache", join(folder, "cache")]
  await run("npm", [...install, `./${filename}`], { cwd: folder })

  const installed = (await readdir(join(folder, "node_modules"))).filter((name) => !name.startsWith("."))
  expect(installed).toEqual(["reflow-gateway"])
  const { stdout } = await run(join(folder, "node_modules/.bin/reflow"), ["--version"], { cwd: folder })
  expect(stdout).toContain(manifest.version)
})
