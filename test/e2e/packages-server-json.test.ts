/** Targets of server.json documents on a laptop: made by the command line and by the REST API, and served. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest"
import { toolText } from "../support/modern.ts"
import { type NpmRegistry, startNpmRegistry } from "../support/npm-registry.ts"
import {
  hear,
  type Laptop,
  makeLaptop,
  namedNpm,
  namedPython,
  npmServer,
  pythonServer,
  serveBoth,
} from "../support/packages-laptop.ts"
import { type PythonIndex, startPythonIndex } from "../support/python-index.ts"
import { pythonTools } from "../support/python-tools.ts"
import { type Reflow, runReflow } from "../support/reflow.ts"

// the first run makes the tools
vi.setConfig({ testTimeout: 120_000, hookTimeout: 600_000 })

const tools = await pythonTools()
const bin = tools ?? ""

/** What a document says of both packages. */
const common = {
  transport: { type: "stdio" },
  environmentVariables: [{ name: "TOKEN", description: "Any text", isSecret: true }],
  packageArguments: [{ type: "named", name: "--root", isRequired: true }],
}
const documents = {
  npm: { name: "com.example/from-npm", version: "1.2.3", packages: [{ ...namedNpm, ...common }] },
  pypi: { name: "com.example/from-pypi", version: "1.2.3", packages: [{ ...namedPython, ...common }] },
}
type Kind = keyof typeof documents

describe.skipIf(tools === undefined)("on a laptop, a server.json", () => {
  const folder = mkdtempSync(join(tmpdir(), "reflow-server-json-"))
  let laptop: Laptop
  let npm: NpmRegistry
  let pypi: PythonIndex
  let reflow: Reflow

  /** The target that the command line makes, as YAML. */
  const byCommand = async (kind: Kind): Promise<string> => {
    const path = join(folder, `${kind}.json`)
    writeFileSync(path, JSON.stringify(documents[kind]))
    const { code, stdout, stderr } = await runReflow(["target", "from", path, "--argument=--root=/data"])
    expect(code, stderr).toBe(0)
    return stdout
  }
  const byApi = async (kind: Kind): Promise<void> => {
    const body = { name: `${kind}-posted`, server_json: documents[kind], arguments: { "--root": "/data" } }
    const made = await reflow.api("POST", "/api/targets", body)
    expect(made.status, JSON.stringify(made.body)).toBe(201)
  }

  beforeAll(async () => {
    laptop = makeLaptop(bin)
    npm = await startNpmRegistry(npmServer)
    pypi = await startPythonIndex(bin, [pythonServer])
    reflow = await laptop.start({
      targets: `${await byCommand("npm")}---\n${await byCommand("pypi")}`,
      set: { "kubernetes.packages.npm.registry": npm.url, "kubernetes.packages.pypi.registry": pypi.url },
    })
    await byApi("npm")
    await byApi("pypi")
  })
  afterAll(async () => {
    await reflow?.stop()
    await npm?.close()
    await pypi?.close()
    laptop?.close()
    rmSync(folder, { recursive: true, force: true })
  })

  /** A target without what two targets cannot have in common. */
  const settingsOf = async (name: string): Promise<unknown> => {
    const { status, body } = await reflow.api("GET", `/api/targets/${name}`)
    expect(status, JSON.stringify(body)).toBe(200)
    const { name: _, created_time, generation, status: seen, ...settings } = body
    return settings
  }

  const forgetDay = async (name: string): Promise<void> => {
    const authorization = `Bearer ${await reflow.token("root", { roles: ["admin"] })}`
    const changed = await fetch(`${reflow.url}/api/targets/${name}?force=true`, {
      method: "PATCH",
      headers: { authorization, "content-type": "application/merge-patch+json" },
      body: JSON.stringify({ package: { before: null } }),
    })
    expect(changed.status, await changed.text()).toBe(200)
  }

  test.for(["npm", "pypi"] as const)("is the same target by both ways: %s", async (kind) => {
    const settings = await settingsOf(`from-${kind}`)
    expect(settings).toEqual(await settingsOf(`${kind}-posted`))
    expect(settings).toMatchObject({
      package: { registry_type: kind, version: "1.2.3", before: expect.stringMatching(/^20\d\d-\d\d-\d\d$/) },
      args: ["--root", "/data"],
      credentials: [{ name: "TOKEN", description: "Any text" }],
    })
  })

  test("serves each user, by both ways", async () => {
    await serveBoth(reflow, "from-npm")
    await serveBoth(reflow, "npm-posted")
  })

  test("whose index has no dates says so, and serves with the arguments once before is removed", async () => {
    for (const name of ["from-pypi", "pypi-posted"]) {
      const { message, data } = await hear(reflow, name)
      expect(data.reason).toBe("PackageInstallFailed")
      expect(message).toMatch(/have no dates, so before cannot be obeyed\. Remove before/)
      await forgetDay(name)
      await serveBoth(reflow, name)
      const seen = await toolText(`${reflow.url}/mcp/${name}`, await reflow.token("alice"), "seen")
      expect(JSON.parse(seen)).toMatchObject({ arguments: ["--root", "/data"] })
    }
  })
})
