/** A program with a plugin that does everything wrong: whoever asked is told which hook it was, and all else goes on. */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { callTool } from "../support/modern.ts"
import { type Reflow, repositoryFile, runReflow, startReflow, target } from "../support/reflow.ts"

const unruly = `
import { definePlugin } from "reflow-gateway/plugin"
const fail = () => { throw new Error("canary-of-the-plugin") }
const never = () => new Promise(() => {})
export default definePlugin({
  api: 1,
  name: "unruly",
  setup: (_config, { log }) => {
    log.info("unruly is set up")
    return {
      subjectKeys: {
        throws: fail,
        rejects: async () => fail(),
        hangs: never,
        garbage: () => ({ toString: () => "alice" }),
        mutates: ({ identity }) => { identity.subject = "bob"; return identity.subject },
        floods: ({ identity }, { log: mine }) => {
          for (let line = 0; line < 5_000; line++) mine.info("flood", { text: "x".repeat(100_000) })
          return identity.subject
        },
      },
      secrets: {
        "fails": fail,
        "garbles": () => ({ value: 7 }),
        "mutates": (input) => { input.sharer.subjectKey = "shared"; return { value: "x" } },
      },
      podTemplates: {
        throws: fail,
        garbage: () => ({ spec: "none" }),
        late: async ({ pod }) => pod,
        mutates: ({ pod }) => { pod.spec.containers.length = 0; return pod },
        grabs: ({ pod }) => ({ ...pod, spec: { ...pod.spec, hostNetwork: true } }),
      },
    }
  },
})
`

const server = ["node", repositoryFile("test/fixtures/servers/dual.mjs")]
const strategies = ["throws", "rejects", "hangs", "garbage", "mutates", "floods"] as const
const schemes = ["fails", "garbles", "mutates"] as const
const templates = ["throws", "garbage", "late", "mutates", "grabs"] as const

let folder: string
let reflow: Reflow
let token: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "reflow-unruly-"))
  const path = join(folder, "unruly.mjs")
  await writeFile(path, unruly)
  reflow = await startReflow({
    form: "executable",
    targets: [
      target("healthy", server),
      ...strategies.map((name) => target(`key-${name}`, server, { subjectKey: { strategy: `unruly/${name}` } })),
      ...schemes.map((name) => target(`secret-${name}`, server, { secrets: [{ name: "TOKEN", from: `${name}:x` }] })),
      ...templates.map((name) => target(`pod-${name}`, server, { podTemplates: [{ name: `unruly/${name}` }] })),
    ].join(""),
    set: { plugins: JSON.stringify([{ path }]) },
  })
  token = await reflow.token("alice")
  // the server that the others must leave alone
  expect((await call("healthy")).status).toBe(200)
})
afterAll(async () => {
  await reflow?.stop()
  await rm(folder, { recursive: true, force: true })
})

const call = async (name: string) => {
  const response = await callTool(`${reflow.url}/mcp/${name}`, token, "pid")
  return { status: response.status, text: await response.text() }
}

/** Calls a target whose plugin fails, and meanwhile the healthy one. */
const callBoth = async (name: string) => {
  const failing = call(name)
  const { status, text } = await call("healthy")
  expect([status, text], "the healthy target").toEqual([200, expect.stringContaining('"text"')])
  const failed = await failing
  expect(failed.text).not.toContain("canary")
  expect(reflow.process.exitCode).toBeNull()
  return failed
}

describe("a request is refused, with the names of plugin and hook, while others are answered, if", () => {
  const words: Readonly<Record<string, string>> = {
    hangs: "did not answer within 1 s",
    garbage: "gave something other than text as a subject key",
    garbles: "gave no value",
  }
  test.each(strategies.filter((name) => name !== "floods"))("the strategy %s", async (name) => {
    const { status, text } = await callBoth(`key-${name}`)
    expect(status).toBe(200)
    expect(JSON.parse(text).error).toMatchObject({
      message: expect.stringContaining(`The hook subjectKeys.${name} of the plugin unruly ${words[name] ?? "failed"}.`),
      data: { code: "PluginFailed", plugin: "unruly", hook: `subjectKeys.${name}` },
    })
  })
  test.each(schemes)("the resolver %s", async (name) => {
    const { status, text } = await callBoth(`secret-${name}`)
    expect(status).toBe(200)
    expect(JSON.parse(text).error).toMatchObject({
      message: expect.stringContaining(`The hook secrets.${name} of the plugin unruly ${words[name] ?? "failed"}.`),
      data: { code: "PluginFailed", plugin: "unruly", hook: `secrets.${name}` },
    })
  })
  test.each([
    ["throws", "The hook podTemplates.throws of the plugin unruly failed."],
    ["garbage", "The hook podTemplates.garbage of the plugin unruly gave no Pod."],
    ["late", "The hook podTemplates.late of the plugin unruly gave a promise"],
    ["mutates", "The hook podTemplates.mutates of the plugin unruly failed."],
    ["grabs", "kubernetes.allow_in_pods does not allow: hostNetwork"],
  ] satisfies [(typeof templates)[number], string][])("the pod template %s", async (name, told) => {
    const { status, text } = await callBoth(`pod-${name}`)
    expect(status).toBe(200)
    expect(JSON.parse(text).error.data).toMatchObject({ code: "InstanceFailed", reason: "PodTemplateFailed" })
    expect(text).toContain(told)
  })
  test("what they threw is in the log, for whoever runs the program", async () => {
    for (const hook of ["subjectKeys.throws", "subjectKeys.rejects", "secrets.fails", "podTemplates.throws"])
      await expect
        .poll(() => reflow.output().split("\n"))
        .toContainEqual(
          expect.stringMatching(new RegExp(`${hook}.*canary-of-the-plugin|canary-of-the-plugin.*${hook}`)),
        )
  })
})

test("a plugin that floods the log is cut off, and works", async () => {
  expect((await call("key-floods")).status).toBe(200)
  const floodOf = () =>
    reflow
      .output()
      .split("\n")
      .filter((line) => line.includes('"flood"'))
  // one line of the minute went to its setup
  await expect.poll(() => floodOf().length).toBeGreaterThanOrEqual(99)
  const flood = floodOf()
  expect(flood.length).toBeLessThanOrEqual(100)
  for (const line of flood) expect(line.length).toBeLessThan(1_000)
  expect(JSON.parse(flood[0] ?? "")).toMatchObject({ plugin: "unruly", hook: "subjectKeys.floods" })
})

test("gateway and operator of one process share a plugin: it was set up once", () => {
  expect(reflow.output().match(/unruly is set up/g)).toHaveLength(1)
})

test("the first call and the last are answered by the same server: nothing was restarted", async () => {
  const [first, last] = [await call("healthy"), await call("healthy")]
  expect(first.text).toBe(last.text)
  expect(reflow.output()).not.toContain("the state of the program is unknown")
})

describe("the program does not start, and says which plugin it is, if", () => {
  const plugin = (fields: string) =>
    `import { definePlugin } from "reflow-gateway/plugin"\nexport default definePlugin({ ${fields} })\n`
  const fine = plugin('api: 1, name: "twice", setup: () => ({})')
  test.each([
    ["it is written for another contract", plugin('api: 2, name: "late", setup: () => ({})'), "contract 2"],
    ["it has an unknown key", plugin('api: 1, name: "odd", priority: 1, setup: () => ({})'), "unknown key 'priority'"],
    ["its hooks have an unknown key", plugin('api: 1, name: "odd", setup: () => ({ hook: {} })'), "unknown key 'hook'"],
    ["its setup throws", plugin('api: 1, name: "odd", setup: () => { throw new Error("no disk") }'), "no disk"],
    [
      "its name is there already",
      plugin('api: 1, name: "claim", setup: () => ({})'),
      "Two plugins have the name 'claim'",
    ],
    ["it is loaded twice", fine, "Two plugins have the name 'twice'"],
    [
      "its scheme is there already",
      plugin('api: 1, name: "own", setup: () => ({ secrets: { env: () => ({ value: "x" }) } })'),
      "have the secrets 'env'",
    ],
  ])("%s", async (_name, text, told) => {
    const path = join(folder, "refused.mjs")
    await writeFile(path, text)
    const plugins = text === fine ? [{ path }, { path }] : [{ path }]
    const set = ["--set", "gateway.listen=127.0.0.1:0", "--set", `plugins=${JSON.stringify(plugins)}`]
    const { code, stderr } = await runReflow(["--role", "dev", ...set])
    expect(stderr).toContain("PluginFailed")
    expect(stderr).toContain(told)
    expect(code).toBe(1)
  })
})
