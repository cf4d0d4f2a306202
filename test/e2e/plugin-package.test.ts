/** What somebody has who installed the package, and nothing else of this repository, to write a plugin. */
import { execFile } from "node:child_process"
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, expect, test } from "vitest"
import { repositoryFile } from "../support/reflow.ts"

const run = promisify(execFile)

/** Has the unpacked package alone. */
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "reflow-package-"))
  const packed = join(folder, "node_modules/reflow-gateway")
  await mkdir(packed, { recursive: true })
  // what `prepack` would build is built already
  const pack = ["pack", "--ignore-scripts", "--json", "--pack-destination", folder]
  const { stdout } = await run("npm", pack, { cwd: repositoryFile(".") })
  const [{ filename }] = JSON.parse(stdout)
  await run("tar", ["-xzf", join(folder, filename), "-C", packed, "--strip-components=1"])
  await writeFile(join(folder, "package.json"), '{"type":"module"}')
})
afterAll(async () => {
  await rm(folder, { recursive: true, force: true })
})

const strict = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  noEmit: true,
  module: "nodenext",
  target: "es2024",
  types: [],
  skipLibCheck: false,
}

/** What tsc says of a file of the folder. */
const compile = async (name: string, text: string, options: object = {}): Promise<string> => {
  await writeFile(join(folder, name), text)
  const config = join(folder, `tsconfig.${name}.json`)
  await writeFile(config, JSON.stringify({ compilerOptions: { ...strict, ...options }, files: [name] }))
  const args = [repositoryFile("node_modules/typescript/bin/tsc"), "-p", config, "--pretty", "false"]
  return new Promise((done) => execFile(process.execPath, args, { cwd: folder }, (_, stdout) => done(stdout)))
}

/** A schema without any library, and plugins as they are meant. */
const right = `
import { defineHook, definePlugin, requireClaim, type Pod, type StandardSchema } from "reflow-gateway/plugin"

declare const settings: StandardSchema<{ claim?: string }, { claim: string; depth: number }>
declare const zone: StandardSchema<{ zone: string }>
const inZone = (pod: Pod, name: string): Pod => ({ ...pod, spec: { ...pod.spec, nodeSelector: { zone: name } } })

export default definePlugin({
  api: 1,
  name: "right",
  config: settings,
  setup: ({ claim, depth }, { log }) => {
    log.info("ready", { depth: depth.toFixed() })
    return {
      subjectKeys: {
        at: ({ identity }) => requireClaim(identity, claim),
        late: async ({ identity }, { target }) => target.spec.access?.groups?.[0] ?? identity.subject,
      },
      secrets: {
        own: async ({ reference, sharer }, { readSecret, signal }) => {
          signal.throwIfAborted()
          return { value: (await readSecret(reference, "token")) ?? sharer.subjectKey, expiresAt: Date.now() + 1 }
        },
      },
      podTemplates: { zone: defineHook(zone, ({ pod, config }) => inZone(pod, config.zone)) },
    }
  },
})
`

test("the declarations are self-contained: a plugin compiles with the package and TypeScript alone, which checks them too", async () => {
  expect(await compile("right.ts", right)).toBe("")
}, 90_000)

const wrong: readonly (readonly [what: string, plugin: string])[] = [
  ["a key that the configuration does not have", "config: settings, setup: ({ clam }) => ({ })"],
  [
    "a key that a hook's configuration does not have",
    "setup: () => ({ podTemplates: { z: defineHook(zone, ({ pod, config }) => inZone(pod, config.zon)) } })",
  ],
  ["a key that is no text", "setup: () => ({ subjectKeys: { n: () => 7 } })"],
  ["a later key that is no text", "setup: () => ({ subjectKeys: { n: async () => 7 } })"],
  ["null as a key", "setup: () => ({ subjectKeys: { n: () => null } })"],
  ["a key that is no text of a hook with a schema", "setup: () => ({ subjectKeys: { n: defineHook(zone, () => 7) } })"],
  ["an asynchronous pod template", "setup: () => ({ podTemplates: { late: async ({ pod }) => pod } })"],
  [
    "an asynchronous pod template with a schema",
    "setup: () => ({ podTemplates: { late: defineHook(zone, async ({ pod }) => pod) } })",
  ],
  ["a pod template that gives nothing", "setup: () => ({ podTemplates: { none: () => undefined } })"],
  ["a changed Pod", "setup: () => ({ podTemplates: { m: ({ pod }) => { pod.spec.nodeName = 'x'; return pod } } })"],
  [
    "a changed target",
    "setup: () => ({ subjectKeys: { m: (_, { target }) => { target.spec.image = 'x'; return 'k' } } })",
  ],
  ["a value that is no text", "setup: () => ({ secrets: { s: () => ({ value: 7 }) } })"],
  ["an end that is a Date", "setup: () => ({ secrets: { s: () => ({ value: 'v', expiresAt: new Date() }) } })"],
  ["no setup", "config: settings"],
  ["hooks of an unknown kind", "setup: () => ({ subjectKey: { x: () => 'k' } })"],
]

test("what would fail at the start does not compile", async () => {
  const plugin = (fields: string) => `definePlugin({ api: 1, name: "wrong", ${fields} })`
  const lines = [
    ...wrong.map(([, fields]) => plugin(fields)),
    'definePlugin({ name: "wrong", setup: () => ({}) })',
    'definePlugin({ api: 2, name: "wrong", setup: () => ({}) })',
    "definePlugin({ api: 1, setup: () => ({}) })",
  ]
  const head = `${right.trim()}\n`
  const said = await compile("wrong.ts", `${head}${lines.join("\n")}\n`)
  const first = head.split("\n").length
  const failed = new Set([...said.matchAll(/^wrong\.ts\((\d+),/gm)].map(([, line]) => Number(line)))
  const compiles = lines.filter((_, index) => !failed.has(first + index))
  expect(compiles, "lines that compile although they must not").toEqual([])
  for (const line of failed) expect(line, said).toBeGreaterThanOrEqual(first)
}, 90_000)

test("the declared objects are those that our own source has, for plugins to read", async () => {
  const source = (name: string) => JSON.stringify(repositoryFile(`src/${name}`))
  const text = `
import type * as published from "reflow-gateway/plugin"
import type { MCPInstance } from ${source("api/kinds/mcp-instance.ts")}
import type { MCPTarget } from ${source("api/kinds/mcp-target.ts")}
import type { Pod } from ${source("api/kinds/pod.ts")}

type Read<T> = T extends object ? { readonly [K in keyof T]: Read<T[K]> } : T
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const isSame: readonly [
  Same<Read<published.MCPTarget>, Read<MCPTarget>>,
  Same<Read<published.MCPInstance>, Read<MCPInstance>>,
  Same<Read<published.Pod>, Read<Pod>>,
] = [true, true, true]
export default isSame
`
  const ofRepository = { types: ["node"], typeRoots: [repositoryFile("node_modules/@types")] }
  const options = { skipLibCheck: true, allowImportingTsExtensions: true, ...ofRepository }
  expect(await compile("same.ts", text, options)).toBe("")
}, 90_000)

test("zod's schemas type a plugin's configuration", async () => {
  await symlink(repositoryFile("node_modules/zod"), join(folder, "node_modules/zod"))
  const text = `
import { definePlugin, requireClaim } from "reflow-gateway/plugin"
import { z } from "zod"
export default definePlugin({
  api: 1,
  name: "tenant",
  config: z.object({ claim: z.string(), depth: z.number().default(1) }),
  setup: ({ claim, depth }) => ({
    subjectKeys: {
      tenant: ({ identity }) => requireClaim(identity, claim),
      // @ts-expect-error: a claim's name is text
      mistake: ({ identity }) => requireClaim(identity, depth),
    },
  }),
})`
  expect(await compile("tenant.ts", text, { skipLibCheck: true })).toBe("")
}, 90_000)

test("the module runs without any package", async () => {
  const script = `
    const { definePlugin, requireClaim } = await import("reflow-gateway/plugin")
    const identity = { issuer: "corp", claims: { tenant: "acme" } }
    console.log(definePlugin({ name: "a" }).name, requireClaim(identity, "tenant"))
    try { requireClaim(identity, "team") } catch (error) { console.log(error.code) }`
  const { stdout } = await run(process.execPath, ["--input-type=module", "-e", script], { cwd: folder })
  expect(stdout).toBe("a acme\nSubjectKeyDenied\n")
  const built = await readFile(join(folder, "node_modules/reflow-gateway/dist/plugin.js"), "utf8")
  expect(built).not.toMatch(/\bfrom\s*["']|\brequire\(|\bimport\(/)
})
