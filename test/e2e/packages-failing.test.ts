/** What a client on a laptop hears when a package cannot be installed. */
import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync, symlinkSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest"
import { createPorts } from "../../src/adapters/process/ports.ts"
import { type Fault, startFaultyRegistry } from "../support/faulty-registry.ts"
import { toolText } from "../support/modern.ts"
import { type NpmRegistry, startNpmRegistry } from "../support/npm-registry.ts"
import {
  hear,
  type Laptop,
  makeLaptop,
  type Named,
  namedNpm,
  namedPython,
  npmServer,
  packageTarget,
  pythonServer,
} from "../support/packages-laptop.ts"
import { type PythonIndex, startPythonIndex } from "../support/python-index.ts"
import { pythonTools } from "../support/python-tools.ts"
import type { Reflow } from "../support/reflow.ts"
import { startRelay } from "../support/relay.ts"

// the first run makes the tools
vi.setConfig({ testTimeout: 120_000, hookTimeout: 600_000 })

const tools = await pythonTools()
const bin = tools ?? ""

const library = { name: "library", files: { "index.js": "" } }

/** Packages that cannot be installed, each with the words that a client must hear. */
const faults: Readonly<Record<string, readonly [named: Named, words: RegExp]>> = {
  "npm-wrong-version": [
    { ...namedNpm, version: "9.9.9" },
    /There is no @example\/whoami@9\.9\.9 in .*Correct the version/,
  ],
  "npm-unknown": [{ ...namedNpm, identifier: "nobody" }, /nobody@1\.2\.3 is not in .*Correct the name/],
  "npm-no-bin": [{ ...namedNpm, identifier: "library", version: "1.0.0" }, /library has no program/],
  "npm-other-bin": [{ ...namedNpm, bin: "other" }, /has no program named other\. Set bin to one of: whoami/],
  "pypi-wrong-version": [
    { ...namedPython, version: "9.9.9" },
    /There is no example-whoami==9\.9\.9 in .*Correct the version/,
  ],
  "pypi-unknown": [{ ...namedPython, identifier: "nobody" }, /nobody.* is not in .*Correct the name/],
}

describe.skipIf(tools === undefined)("on a laptop, a package that cannot be installed", () => {
  let laptop: Laptop
  let npm: NpmRegistry
  let pypi: PythonIndex
  let reflow: Reflow
  let set: Readonly<Record<string, string>>
  beforeAll(async () => {
    laptop = makeLaptop(bin)
    npm = await startNpmRegistry(npmServer, library)
    pypi = await startPythonIndex(bin, [pythonServer])
    set = { "kubernetes.packages.npm.registry": npm.url, "kubernetes.packages.pypi.registry": pypi.url }
    const targets = Object.entries(faults).map(([name, [named]]) => packageTarget(name, named))
    reflow = await laptop.start({ targets: targets.join(""), set })
  })
  afterAll(async () => {
    await reflow?.stop()
    await npm?.close()
    await pypi?.close()
    laptop?.close()
  })

  test.for(Object.entries(faults))("is told to the waiting client with its cause: %s", async ([name, [, words]]) => {
    const { message, data } = await hear(reflow, name)
    expect(data, message).toMatchObject({ code: "InstanceFailed", reason: "PackageInstallFailed" })
    expect(message).toMatch(words)
    expect(data.log?.at(-1)).toMatch(/^reflow-install: /)
    // the terminal says it too
    expect(reflow.output()).toContain(`The package ${name.split("-")[0]} `)
  })

  /** Makes a target by the REST API, as an administrator does. */
  const make = async (name: string, body: object): Promise<void> => {
    const made = await reflow.api("POST", "/api/targets", { name, transport_type: "kubernetes", stdio: {}, ...body })
    expect(made.status, JSON.stringify(made.body)).toBe(201)
  }
  const fromFaulty = async (fault: Fault) => {
    // of a version of its own: npm asks no registry for what its cache has already
    const version = "4.5.6"
    const registry = await startFaultyRegistry(fault, { ...npmServer, version })
    onTestFinished(registry.close)
    return { registry_type: "npm", identifier: npmServer.name, version, registry_base_url: registry.url.slice(0, -1) }
  }

  test("is told if its bytes are not those that the registry announced", async () => {
    await make("changed", { package: await fromFaulty("changed") })
    const { message, data } = await hear(reflow, "changed")
    expect(data.reason).toBe("PackageInstallFailed")
    expect(message).toMatch(/other content than .* announced.*Nothing of it is used/)
  })

  test("is told if the time of the start is up", async () => {
    await make("slow", { package: await fromFaulty("endless"), start_timeout: "10s" })
    const began = performance.now()
    const { message, data } = await hear(reflow, "slow")
    expect(data.reason).toBe("PackageInstallFailed")
    expect(message).toMatch(/was not installed within 5s\. The registry is slow/)
    expect(performance.now() - began).toBeLessThan(10_000)
  })

  test("is told if its registry is gone, within seconds, and starts by itself when the registry is back", async () => {
    const port = await createPorts().take()
    const named = { registry_type: "npm", identifier: npmServer.name, version: npmServer.version }
    await make("later", { package: { ...named, registry_base_url: `http://127.0.0.1:${port}` } })
    const began = performance.now()
    const { message, data } = await hear(reflow, "later")
    expect(performance.now() - began).toBeLessThan(10_000)
    expect(data.reason).toBe("PackageInstallFailed")
    expect(message).toMatch(/registry 127\.0\.0\.1:\d+ failed\. Correct its URL, start it/)
    const relay = await startRelay(npm.url, port)
    onTestFinished(relay.close)
    // without anybody's call
    const phase = async () => {
      const { body } = await reflow.api("GET", "/api/instances")
      return body.items.find((each: { target: string }) => each.target === "later")?.phase
    }
    await expect.poll(phase, { timeout: 60_000, interval: 200 }).toBe("Ready")
    expect(await toolText(`${reflow.url}/mcp/later`, await reflow.token("alice"), "whoami")).toMatch(/^pid/)
  })

  test("is told if uv is not on the PATH, while packages of npm are served", async () => {
    const folder = mkdtempSync(join(tmpdir(), "reflow-without-uv-"))
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
    for (const [name, path] of [
      ["node", process.execPath],
      ["python3", join(bin, "python3")],
      ["npm", execFileSync("sh", ["-c", "command -v npm"], { encoding: "utf8" }).trim()],
    ] as const)
      symlinkSync(path, join(folder, name))
    const targets = packageTarget("from-npm", namedNpm) + packageTarget("from-pypi", namedPython)
    const other = await laptop.start({ targets, set, env: { PATH: folder } })
    onTestFinished(async () => void (await other.stop()))
    const { message, data } = await hear(other, "from-pypi")
    expect(data.reason).toBe("PackageInstallFailed")
    expect(message).toMatch(/uv is not on the PATH\. .*on this machine, install uv\./)
    expect(await toolText(`${other.url}/mcp/from-npm`, await other.token("alice"), "whoami")).toMatch(/^pid/)
  })
})
