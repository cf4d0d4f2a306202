import { createHash } from "node:crypto"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { build } from "esbuild"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { type Form, repositoryFile, runReflow } from "../support/reflow.ts"

const fixture = (name: string) => repositoryFile(`test/fixtures/plugins/${name}`)

let folder: string
/** A plugin with the schema library that it uses, in one file. */
let bundled: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "reflow-plugins-"))
  bundled = join(folder, "api1-schema.mjs")
  const external = ["reflow-gateway/plugin"]
  const entryPoints = [fixture("api1-schema.source.ts")]
  await build({
    entryPoints,
    external,
    outfile: bundled,
    bundle: true,
    format: "esm",
    platform: "node",
    logLevel: "silent",
  })
})
afterAll(async () => {
  await rm(folder, { recursive: true, force: true })
})

const check = (form: Form, path: string, env: Readonly<Record<string, string>> = {}) =>
  runReflow(["plugin", "check", path], { form, env, cwd: folder })

const files: readonly [string, () => string, string][] = [
  ["an ES module", () => fixture("api1-module.mjs"), "gives an example caller a key of 4 bytes"],
  ["one with top-level await", () => fixture("api1-await.mjs"), "secrets fixed:"],
  ["a CommonJS module", () => fixture("api1-common.cjs"), "gives an example caller a key of 3 bytes"],
  ["a TypeScript file with a relative import", () => fixture("api1-typed.ts"), "makes a Pod of an example Pod"],
  ["one with a library in it", () => bundled, "gives an example caller a key of 15 bytes"],
]

describe.each<Form>(["source", "bundle", "executable", "deno"])("the %s, started in another folder, loads", (form) => {
  test.each(files)("%s", async (_name, path, told) => {
    const { code, stdout, stderr } = await check(form, path())
    expect(`${stdout}${stderr}`).toContain(told)
    expect(stdout).not.toContain("FAILED")
    expect(code).toBe(0)
  })
  test("no file that is not there, and says so", async () => {
    const { code, stdout } = await check(form, "missing.mjs")
    expect(stdout).toMatch(/FAILED {2}plugin: The plugin \S*missing\.mjs does not exist/)
    expect(code).toBe(1)
  })
})

test("NODE_OPTIONS cannot inject code into the executable", async () => {
  const injected = join(folder, "injected.cjs")
  await writeFile(injected, "process.stdout.write('injected')")
  const { stdout, code } = await check("executable", fixture("api1-module.mjs"), {
    NODE_OPTIONS: `--require ${injected}`,
  })
  expect(stdout).not.toContain("injected")
  expect(code).toBe(0)
})

describe("a plugin's file", () => {
  const write = async (name: string, text: string): Promise<string> => {
    const path = join(folder, name)
    await writeFile(path, text)
    return path
  }
  test.concurrent.for([
    ["with a mistake in it", "mistake.mjs", "export default {", "could not be loaded: Unexpected end of input"],
    ["that throws", "throws.mjs", "throw new Error('at once')", "could not be loaded: at once"],
    [
      "that never ends loading",
      "hangs.mjs",
      "await new Promise(() => setInterval(() => {}, 1000))",
      "did not answer within 10 s",
    ],
    [
      "that imports what is not there",
      "lone.mjs",
      "import 'no-such-package'",
      "could not be loaded: Cannot find package 'no-such-package'",
    ],
  ] as const)("%s is told with its fault", async ([, name, text, told]) => {
    const { code, stdout } = await check("source", await write(name, text))
    expect(stdout).toContain(told)
    expect(code).toBe(1)
  })
  test("of another digest than the configured one stops the start", async () => {
    const text =
      'import { definePlugin } from "reflow-gateway/plugin"\nexport default definePlugin({ api: 1, name: "f", setup: () => ({}) })\n'
    const path = await write("pinned.mjs", text)
    const sha256 = createHash("sha256").update(text).digest("hex")
    await writeFile(path, `${text}// changed`)
    const plugins = JSON.stringify([{ path, sha256 }])
    const { code, stderr } = await runReflow([
      "--role",
      "dev",
      "--set",
      "gateway.listen=127.0.0.1:0",
      "--set",
      `plugins=${plugins}`,
    ])
    expect(stderr).toMatch(
      /PluginFailed: The plugin \S+pinned\.mjs has the SHA-256 [0-9a-f]{64}, not the one that the configuration names/,
    )
    expect(code).toBe(1)
  })
})
