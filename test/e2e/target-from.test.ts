import { spawn } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, test } from "vitest"
import { parse, parseAllDocuments } from "yaml"
import { mcpTargetKind } from "../../src/api/kinds/mcp-target.ts"
import { labels } from "../../src/api/names.ts"
import { namespace, send, useAdmin, world } from "../support/admin-stage.ts"
import { repositoryFile, runReflow } from "../support/reflow.ts"
import { type Sample, samples } from "../support/server-json.ts"

useAdmin()

const folder = mkdtempSync(join(tmpdir(), "reflow-target-from-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const fileOf = (name: string, content: string | Buffer): string => {
  const path = join(folder, `${name}.json`)
  writeFileSync(path, content)
  return path
}

/** A request's members as flags. */
const flagsOf = ({ request }: Sample): readonly string[] => [
  ...(request.prefer === undefined ? [] : ["--prefer", request.prefer]),
  ...(request.command ?? []).map((word) => `--command=${word}`),
  ...Object.entries(request.arguments ?? {}).flatMap(([name, value]) =>
    [value].flat().map((each) => `--argument=${name}=${each}`),
  ),
]
const sampleNamed = (name: string): Sample => {
  const found = samples.find((each) => each.name === name)
  if (found === undefined) throw new Error(`no sample ${name}`)
  return found
}
const from = (sample: Sample, ...more: readonly string[]) =>
  runReflow(["target", "from", fileOf(sample.name, JSON.stringify(sample.document)), ...flagsOf(sample), ...more])

describe("reflow target from", () => {
  test.each(["npm-secret-argument", "oci-http", "oci-stdio", "remote", "npm-hostile-arguments"])(
    "makes the target that the REST API makes: %s",
    async (name) => {
      const sample = sampleNamed(name)
      const { code, stdout, stderr } = await from(sample, "--name", "same")
      expect(code, stderr).toBe(0)
      const printed = parse(stdout)
      expect(parseAllDocuments(stdout, { version: "1.1" })[0]?.toJS()).toEqual(printed)
      const { before } = printed.spec.package ?? {}
      // the day on which the command ran
      if (before !== undefined) world.clock.skew(Date.parse(before) - world.clock.now())
      const made = await send("POST", "/api/targets", {
        body: { name: "same", server_json: sample.document, ...sample.request },
      })
      expect(made.status, made.text).toBe(201)
      const object = await world.cluster.get(mcpTargetKind, { namespace, name: "same" })
      expect(printed).toEqual({
        apiVersion: object?.apiVersion,
        kind: object?.kind,
        metadata: {
          name: "same",
          annotations: { [labels.serverJson]: object?.metadata.annotations?.[labels.serverJson] },
        },
        spec: object?.spec,
      })
      const warned = (made.body.warnings ?? []) as { pointer: string; detail: string }[]
      expect(stderr).toBe(
        warned.map(({ pointer, detail }) => `${pointer.slice("/server_json".length)}: ${detail}\n`).join(""),
      )
    },
  )

  test("is exit code 2 for a document of which no target can be made, with each place and each missing input", async () => {
    const refused = await from(sampleNamed("mcpb-nuget"))
    expect(refused).toMatchObject({ code: 2, stdout: "" })
    expect(refused.stderr).toContain("\n  /packages/1/registryType: packages of nuget cannot be run")
    const missing = await from(sampleNamed("npm-arguments-missing"))
    expect(missing).toMatchObject({ code: 2, stdout: "" })
    expect(missing.stderr).toContain("\n  --argument REGION=VALUE: is required: Region of the account; one of eu, us")
    const named = await from(sampleNamed("npm"), "--name", "A B")
    expect(named.stderr).toContain("\n  --name: must be at most 40 characters")
  })

  test("refuses what is no such document before it is read any further", async () => {
    const files: readonly (readonly [string, string | Buffer, string])[] = [
      ["large", `{"name":"a/b","description":"${"x".repeat(10_000_000)}"}`, "is larger than 1 MiB"],
      ["deep", `${'{"a":'.repeat(1_000)}1${"}".repeat(1_000)}`, "is nested deeper than 64 levels"],
      ["twice", '{"name":"a/b","name":"c/d"}', 'has the key "name"'],
      ["prototype", '{"name":"a/b","__proto__":{}}', 'has the key "__proto__"'],
      ["bytes", Buffer.from([0x7b, 0xff, 0x7d]), "is not UTF-8"],
      ["none", "", "is no JSON"],
      ["list", "[]", "must be an object"],
    ]
    for (const [name, content, said] of files) {
      const { code, stdout, stderr } = await runReflow(["target", "from", fileOf(name, content)])
      expect({ code, stdout }, name).toEqual({ code: 2, stdout: "" })
      expect(stderr, name).toContain(said)
      expect(stderr.length, name).toBeLessThan(2_000)
    }
    const absent = await runReflow(["target", "from", join(folder, "absent.json")])
    expect(absent).toMatchObject({ code: 2, stdout: "" })
    expect(absent.stderr).toContain("does not exist")
  })

  test("reads stdin, and no more of it than a document may have", async () => {
    const run = (input: string): Promise<{ code: number | null; stdout: string; stderr: string }> =>
      new Promise((done) => {
        const child = spawn(process.execPath, [repositoryFile("src/main.ts"), "target", "from", "-"])
        let [stdout, stderr] = ["", ""]
        child.stdout.on("data", (chunk) => (stdout += chunk))
        child.stderr.on("data", (chunk) => (stderr += chunk))
        child.on("close", (code) => done({ code, stdout, stderr }))
        // the program goes away before it has read all
        child.stdin.on("error", () => {})
        child.stdin.end(input)
      })
    const read = await run(JSON.stringify(sampleNamed("npm").document))
    expect(read.code, read.stderr).toBe(0)
    expect(parse(read.stdout).metadata.name).toBe("everything")
    const large = await run("x".repeat(10_000_000))
    expect(large).toMatchObject({ code: 2, stdout: "" })
    expect(large.stderr).toContain("-: is larger than 1 MiB")
  })

  test("prints the examples' targets", async () => {
    const time = ["target", "from", repositoryFile("examples/server-json/time.json")]
    const { code, stdout, stderr } = await runReflow([...time, "--argument=--local-timezone=Europe/Berlin"])
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
    expect(parse(stdout).spec.args).toEqual(["--local-timezone", "Europe/Berlin"])
  })
})
