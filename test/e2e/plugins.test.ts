import { createHash } from "node:crypto"
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { build } from "esbuild"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { type Form, repositoryFile, runReflow } from "../support/reflow.ts"

const fixture = (name: string) => repositoryFile(`test/fixtures/plugins/${name}`)

let folder: string
/** Plugins that import files beside them, in a folder that has another copy of the API. */
let beside: readonly string[]
/** A plugin with the schema library that it uses, in one file. */
let bundled: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "reflow-plugins-"))
  bundled = join(folder, "api1-schema.mjs")
  beside = await writeBeside()
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

const write = async (name: string, text: string): Promise<string> => {
  const path = join(folder, name)
  await writeFile(path, text)
  return path
}

const api = '"reflow-gateway/plugin"'
const template = "setup: () => ({ podTemplates: { [zone]: ({ pod }) => pod } })"

/** Writes plugins with relative imports below a path that a URL must escape; resolves with their paths. */
const writeBeside = async (): Promise<readonly string[]> => {
  const files = {
    "node_modules/reflow-gateway/package.json": '{"exports":{"./plugin":"./plugin.cjs"}}',
    "node_modules/reflow-gateway/plugin.cjs": 'throw new Error("another copy of the API")',
    "zone.ts": 'export const zone: string = "typed"',
    "zone.cjs": 'module.exports = { zone: "common" }',
    "near.mts": `import { definePlugin } from ${api}\nimport { zone } from "./zone.ts"
      export default definePlugin({ api: 1, name: "near", ${template} })`,
    "near.cjs": `const { definePlugin } = require(${api})\nconst { zone } = require("./zone.cjs")
      module.exports = definePlugin({ api: 1, name: "near", ${template} })`,
  }
  const paths = Object.entries(files).map(([name, text]) => [join(folder, "Plug-ins für 100 %", name), text] as const)
  for (const [path, text] of paths) {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, text)
  }
  return paths.map(([path]) => path).filter((path) => /near\.\w+$/.test(path))
}

const check = (form: Form, paths: readonly string[], env: Readonly<Record<string, string>> = {}) =>
  runReflow(["plugin", "check", ...paths], { form, env, cwd: folder })

/** What is told of each kind of file. */
const files = (): readonly (readonly [path: string, told: string])[] => [
  [fixture("api1-module.mjs"), "api1-module/tenant: gives an example caller a key of 4 bytes"],
  [fixture("api1-await.mjs"), "secret resolver fixed: is there"],
  [fixture("api1-common.cjs"), "api1-common/team: gives an example caller a key of 3 bytes"],
  [fixture("api1-typed.ts"), "api1-typed/zone: makes a Pod of an example Pod"],
  ...beside.map((path) => [path, `near/${path.endsWith("cjs") ? "common" : "typed"}: makes a Pod`] as const),
  [bundled, "api1-schema/part: gives an example caller a key of 15 bytes"],
]

const forms: readonly Form[] = ["source", "bundle", "executable", "deno"]

test.for(forms)(
  "the %s, started in another folder, loads ES modules, with top-level await too, CommonJS, TypeScript, each with relative imports, and a bundled library",
  async (form) => {
    const { code, stdout, stderr } = await check(form, [...files().map(([path]) => path), "missing.mjs"])
    for (const [, told] of files()) expect(`${stdout}${stderr}`).toContain(told)
    expect(stdout.match(/FAILED.*/g)).toEqual([expect.stringMatching(/The plugin \S*missing\.mjs does not exist/)])
    expect(code).toBe(1)
  },
)

test("NODE_OPTIONS cannot inject code into the executable", async () => {
  const injected = join(folder, "injected.cjs")
  await writeFile(injected, "process.stdout.write('injected')")
  const { stdout, code } = await check("executable", [fixture("api1-module.mjs")], {
    NODE_OPTIONS: `--require ${injected}`,
  })
  expect(stdout).not.toContain("injected")
  expect(code).toBe(0)
})

describe("a plugin's file", () => {
  test("is told with its fault, and the others are checked nevertheless", async () => {
    const faults = [
      ["mistake.mjs", "export default {", "could not be loaded: Unexpected end of input"],
      ["throws.mjs", "throw new Error('at once')", "could not be loaded: at once"],
      ["null.mjs", "throw null", "could not be loaded: The hook load of the plugin .*null.mjs failed. "],
      ["hangs.mjs", "await new Promise(() => setInterval(() => {}, 1000))", "did not answer within 10 s"],
      [
        "plain.ts",
        'import { definePlugin } from "reflow-gateway/plugin"',
        'could not be loaded: .*outside a module: rename it to .mjs or .mts, or set "type": "module" in the package.json of',
      ],
      ["lone.mjs", "import 'no-such-package'", "could not be loaded: Cannot find package 'no-such-package'"],
    ] as const
    await write("package.json", '{"type":"commonjs"}')
    const paths = await Promise.all(faults.map(([name, text]) => write(name, text)))
    const { code, stdout } = await check("source", paths)
    for (const [name, , told] of faults) expect(stdout).toMatch(new RegExp(`FAILED.*${name} .*${told}`))
    expect(code).toBe(1)
  })
  test("is told what its hooks need: a configuration, freedoms, a name of its own", async () => {
    const head = 'import { defineHook, definePlugin } from "reflow-gateway/plugin"\nexport default definePlugin('
    const schema = `{ "~standard": { version: 1, vendor: "own", validate: (value) =>
      value.zone === "a" ? { value } : { issues: [{ message: "must be a", path: ["zone"] }] } } }`
    const zones = `{ api: 1, name: "zones", setup: () => ({ podTemplates: {
      zone: defineHook(${schema}, ({ pod }) => pod),
      near: ({ pod }) => ({ ...pod, spec: { ...pod.spec, hostNetwork: true } }),
    } }) })`
    const path = await write("zones.mjs", head + zones)
    const asked = await check("source", [path])
    expect(asked.stdout).toContain("zones/zone: is there; not called, since it needs another configuration")
    const near = "zones/near: makes a Pod of an example Pod, which needs kubernetes.allow_in_pods to have hostNetwork"
    expect(asked.stdout).toContain(near)
    const configured = await check("source", [path, "--hook-settings", '{"zone":"a"}'])
    expect(configured.stdout).toContain("zones/zone: makes a Pod of an example Pod\n")
    expect([asked.code, configured.code]).toEqual([0, 0])
    const claim = await check("source", [
      await write("claim.mjs", `${head}{ api: 1, name: "claim", setup: () => ({}) })`),
    ])
    expect(claim.stdout).toContain("Two plugins have the name 'claim'")
    expect(claim.code).toBe(1)
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

test("every example of examples/plugins is one", async () => {
  const examples = repositoryFile("examples/plugins")
  const paths = (await readdir(examples)).map((name) => join(examples, name))
  expect(paths.length).toBeGreaterThanOrEqual(3)
  const { stdout, code } = await check("source", paths)
  expect(stdout).not.toContain("FAILED")
  expect(stdout.match(/setup: makes its hooks/g)).toHaveLength(paths.length)
  expect(code).toBe(0)
})
