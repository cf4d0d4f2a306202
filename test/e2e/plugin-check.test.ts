/** `reflow plugin check` as an author uses it: whom and what hooks are tried with, what is printed, and plugins that hang. */
import { spawn } from "node:child_process"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { parse } from "yaml"
import { type Form, repositoryFile, runReflow } from "../support/reflow.ts"

const head = 'import { defineHook, definePlugin, denied, noCredential, requireClaim } from "reflow-gateway/plugin"\n'
const plugin = (name: string, hooks: string): string =>
  `${head}export default definePlugin({ api: 1, name: "${name}", setup: () => (${hooks}) })\n`

const several = plugin(
  "several",
  `{
  subjectKeys: {
    tenant: ({ identity }) => JSON.stringify([requireClaim(identity, "tenant"), identity.email ?? null, identity.groups]),
    beta: ({ identity }) => {
      if (identity.claims.beta !== true) throw denied("Ask for the beta.")
      return identity.subject
    },
  },
  secrets: {
    broker: ({ reference, name, sharer }) => {
      if (reference === "none") throw noCredential("Connect your account.")
      return { value: "canary-" + name, expiresAt: 4_102_444_800_000 + sharer.identity.groups.length }
    },
    kept: async (_, { readSecret }) => ({ value: await readSecret("shared", "key") }),
  },
}`,
)

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "reflow-check-"))
  await writeFile(join(folder, "several.mjs"), several)
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const check = (args: readonly string[], form: Form = "source") =>
  runReflow(["plugin", "check", ...args], { form, cwd: folder })

/** Writes a plugin and checks it. */
const checkOf = async (name: string, text: string, ...args: readonly string[]) => {
  const path = join(folder, `${name}.mjs`)
  await writeFile(path, text)
  return check([path, ...args])
}

test("what a plugin throws is told in one line that steers no terminal, however long it is", async () => {
  const thrown = String.raw`"\x1b[2Jno\nok      plugin: good\u202e " + "x".repeat(3_000_000)`
  for (const text of [
    `throw new Error(${thrown})`,
    plugin("loud", `{ subjectKeys: { a: () => { throw new Error(${thrown}) } } }`),
  ]) {
    const { stdout, code } = await checkOf("loud", text)
    expect(code).toBe(1)
    expect(stdout).not.toMatch(/[^\P{C}\n]/u)
    expect(stdout).not.toMatch(/^ok +plugin: good/m)
    expect(stdout.length).toBeLessThan(2_000)
  }
})

describe("a strategy is tried", () => {
  test("with an example caller, or with the one that the flags describe and nothing else", async () => {
    const example = await check(["several.mjs"])
    expect(example.stdout).toContain("strategy several/tenant: gives an example caller a key of")
    expect(example.stdout).toContain("strategy several/beta: denies an example caller: Ask for the beta.")
    const flags = ["--claim", "tenant=acme", "--claim", "beta:=true", "--email", "bob@acme.example", "--group", "ops"]
    const { stdout, code } = await check(["several.mjs", ...flags, "--print"])
    expect(stdout).toContain(`        key: ${JSON.stringify(JSON.stringify(["acme", "bob@acme.example", ["ops"]]))}\n`)
    expect(stdout).toContain("strategy several/beta: gives the caller a key of 5 bytes")
    expect(code).toBe(0)
    const other = await check(["several.mjs", "--claim", "region=eu"])
    expect(other.stdout).toContain("several/tenant: denies the caller: Your token has no usable claim 'tenant'")
  })
})

describe("a resolver is tried", () => {
  test("by reference, and names are printed but never values", async () => {
    const references = ["--reference", "GITHUB_TOKEN=broker:github", "--reference", "broker:none"]
    const { stdout, stderr, code } = await check(["several.mjs", ...references, "--print", "--group", "a"])
    expect(stdout).toContain(
      "secret resolver broker:github: gives the caller a value, of use until 2100-01-01T00:00:00.001Z\n        name: GITHUB_TOKEN\n",
    )
    expect(stdout).toContain("secret resolver broker:none: has no value for the caller: Connect your account.")
    expect(`${stdout}${stderr}`).not.toContain("canary")
    expect(code).toBe(0)
  })
  test("only if it is asked: without a reference, what to do is told, and for a wrong one, too", async () => {
    expect((await check(["several.mjs"])).stdout).toContain("try --reference broker:REFERENCE")
    const wrong = await check(["several.mjs", "--reference", "borker:x"])
    expect(wrong.stdout).toContain(
      "FAILED  reference borker:x: The plugin has no resolver for it, but for broker, kept.",
    )
    expect(wrong.code).toBe(1)
  })
  test("without a cluster: one that reads a Secret is told so", async () => {
    const { stdout } = await check(["several.mjs", "--reference", "kept:x"])
    expect(stdout).toContain("It reads the Secret 'shared', and a check has no cluster")
  })
  test("and where it throws is told with the line", async () => {
    const text = plugin("thrower", '{ secrets: { own: () => {\n  throw new Error("no broker")\n} } }')
    const { stdout, code } = await checkOf("thrower", text, "--reference", "own:x")
    expect(stdout).toMatch(/FAILED {2}secret resolver own:x: .*failed\. \(no broker, at \S+thrower\.mjs:3:9\)/)
    expect(code).toBe(1)
  })
})

describe("a pod template is tried", () => {
  test("and the Pod is printed as the operator would make it", async () => {
    const hooks =
      '{ podTemplates: { zone: ({ pod }) => ({ ...pod, spec: { ...pod.spec, nodeSelector: { zone: "a" } } }) } }'
    const { stdout, code } = await checkOf("zone", plugin("zone", hooks), "--print")
    const [, yaml = ""] = stdout.split("makes a Pod of an example Pod\n")
    expect(parse(yaml)).toMatchObject({
      kind: "Pod",
      spec: {
        nodeSelector: { zone: "a" },
        automountServiceAccountToken: false,
        containers: [{ name: "mcp", securityContext: { allowPrivilegeEscalation: false } }],
      },
    })
    expect(code).toBe(0)
  })
  test("and what Kubernetes would refuse is told", async () => {
    const change = (spec: string) => `({ pod }) => ({ ...pod, spec: { ...pod.spec, ${spec} } })`
    const hooks = `{ podTemplates: {
      numeric: ${change("nodeSelector: { pool: 7 }")},
      mount: ${change("containers: [{ ...pod.spec.containers[0], volumeMounts: [{ name: 'cache', mountPath: '/c' }] }]")},
      volume: ${change("volumes: [...pod.spec.volumes, { emptyDir: [] }]")},
    } }`
    const { stdout, code } = await checkOf("shapes", plugin("shapes", hooks))
    expect(stdout).toContain(
      "shapes/numeric: It makes a Pod that Kubernetes refuses: spec.nodeSelector.pool must be text",
    )
    expect(stdout).toContain("volumeMounts[0].name is 'cache', and spec.volumes has no such volume")
    expect(stdout).toContain(
      "spec.volumes[1].name is required; spec.volumes[1].emptyDir must be an object, and is a list",
    )
    expect(code).toBe(1)
  })
})

describe("a plugin that never returns is ended with a sentence", () => {
  const told = "it did not return within 5 s and blocks the whole program"
  test.each([
    ["while it is loaded", "for (;;) {}", /FAILED {2}file \S+loop\.mjs: /],
    [
      "in setup",
      `${head}export default definePlugin({ api: 1, name: "loop", setup: () => { for (;;) {} } })`,
      /FAILED {2}setup: /,
    ],
    [
      "in a strategy",
      plugin("loop", "{ subjectKeys: { own: () => { for (;;) {} } } }"),
      /FAILED {2}subject-key strategy loop\/own: /,
    ],
    [
      "in a template",
      plugin("loop", "{ podTemplates: { own: () => { for (;;) {} } } }"),
      /FAILED {2}pod template loop\/own: /,
    ],
  ])("%s", async (_, text, what) => {
    const { stdout, code } = await checkOf("loop", text)
    const last = stdout.trim().split("\n").at(-1) ?? ""
    expect(last).toMatch(what)
    expect(last).toContain(told)
    expect(code).toBe(1)
  })

  test("in the executable, too, and the next file is checked", async () => {
    await writeFile(join(folder, "loop.mjs"), "for (;;) {}")
    const { stdout, code } = await check([join(folder, "loop.mjs"), join(folder, "several.mjs")], "executable")
    expect(stdout).toContain(told)
    expect(stdout).toContain("ok      setup: makes its hooks")
    expect(code).toBe(1)
  })
})

test("a plugin that ends the process is told with a sentence, and what it prints is no finding", async () => {
  const { stdout, stderr, code } = await checkOf("exits", "console.log('printed by it')\nprocess.exit(0)")
  expect(stdout).toMatch(/^FAILED {2}file \S+exits\.mjs: it ended the process \(exit code 0\)/)
  expect(stderr).toContain("printed by it")
  expect(code).toBe(1)
})

test("whoever interrupts the check ends the plugin's process with it", async () => {
  const path = join(folder, "sleeper.mjs")
  await writeFile(path, "console.error('asleep')\nawait new Promise(() => setInterval(() => {}, 1000))\n")
  const args = [repositoryFile("src/main.ts"), "plugin", "check", path]
  const program = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "pipe"] })
  await new Promise((asleep) => program.stderr.once("data", asleep))
  // the plugin's process has the same standard error: it is closed when both are gone
  const closed = new Promise((done) => program.once("close", done))
  program.kill("SIGTERM")
  // sooner than the plugin would be given up anyway
  expect(await Promise.race([closed, setTimeout(5_000, "too late")])).toBe(143)
})
