/** A laptop whose servers are published packages, from real registries on loopback. */
import { execFile } from "node:child_process"
import { promisify } from "node:util"
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest"
import { startFaultyRegistry } from "../support/faulty-registry.ts"
import { type NpmRegistry, startNpmRegistry } from "../support/npm-registry.ts"
import {
  callWithin,
  hear,
  type Laptop,
  makeLaptop,
  namedNpm,
  namedPython,
  npmServer,
  packageTarget,
  pythonServer,
  serveBoth,
  withoutNetwork,
} from "../support/packages-laptop.ts"
import { eventually, processesWith } from "../support/processes.ts"
import { type PythonIndex, startPythonIndex } from "../support/python-index.ts"
import { pythonTools } from "../support/python-tools.ts"
import type { Reflow } from "../support/reflow.ts"

// the first run makes the tools
vi.setConfig({ testTimeout: 120_000, hookTimeout: 600_000 })

const tools = await pythonTools()
const bin = tools ?? ""
const isLinux = process.platform === "linux"

/** Whether this process may make a network of its own, and enter it. */
const mayUnshare =
  isLinux &&
  tools !== undefined &&
  (await promisify(execFile)("nsenter", ["--target", String(process.pid), "--net", "unshare", "--net", "true"]).then(
    () => true,
    () => false,
  ))
if (!mayUnshare) console.warn("!!! TEST WITHOUT NETWORK SKIPPED: it needs Linux, root, unshare and nsenter !!!")

const both = packageTarget("from-npm", namedNpm) + packageTarget("from-pypi", namedPython)

let reflow: Reflow | undefined
afterEach(async () => {
  await reflow?.stop()
  reflow = undefined
})

describe.skipIf(tools === undefined)("on a laptop, a published package", () => {
  let laptop: Laptop
  let npm: NpmRegistry
  let pypi: PythonIndex
  let set: Readonly<Record<string, string>>
  beforeAll(async () => {
    laptop = makeLaptop(bin)
    npm = await startNpmRegistry(npmServer)
    pypi = await startPythonIndex(bin, [pythonServer])
    set = { "kubernetes.packages.npm.registry": npm.url, "kubernetes.packages.pypi.registry": pypi.url }
  })
  afterAll(async () => {
    await npm?.close()
    await pypi?.close()
    laptop?.close()
  })

  test("from npm and from an index of Python packages serves each user by a process and credential of their own", async () => {
    reflow = await laptop.start({ targets: both, set })
    // the banner offers such a target as any other that alice can use
    expect(reflow.output()).toContain("/mcp/from-npm ")
    await serveBoth(reflow, "from-npm")
    await serveBoth(reflow, "from-pypi")
    expect(reflow.output()).not.toContain("canary-of")
    const { body } = await reflow.api("GET", "/api/instances")
    expect(body.items).toHaveLength(4)
  })

  test("starts again when the registries are gone", async () => {
    await npm.close()
    await pypi.close()
    reflow = await laptop.start({ targets: both, set })
    await serveBoth(reflow, "from-npm")
    await serveBoth(reflow, "from-pypi")
  })

  test.runIf(mayUnshare)("starts again without any network", async () => {
    reflow = await laptop.start({ targets: both, set, within: withoutNetwork(bin) })
    expect(await callWithin(reflow, "from-npm")).toMatch(/^pid \d+ token$/)
    expect(await callWithin(reflow, "from-pypi")).toMatch(/^pid \d+ token$/)
    // the network is really another one
    await expect(fetch(reflow.url)).rejects.toThrow()
  })

  describe.runIf(isLinux)("leaves no process behind", () => {
    /** Runs while npm waits for a tarball that never ends. `running`: the role, its installer and npm. */
    const inTheMiddle = async (end: (role: Reflow, running: () => readonly unknown[]) => Promise<void>) => {
      const slow = await startFaultyRegistry("endless", npmServer)
      onTestFinished(slow.close)
      const registryBaseUrl = slow.url.slice(0, -1)
      const role = await laptop.start({ targets: packageTarget("slow", { ...namedNpm, registryBaseUrl }) })
      reflow = role
      const call = hear(role, "slow").catch(() => "broken off")
      await eventually(() => slow.requests.some((each) => each.endsWith(".tgz")), 30_000, "npm asks for the tarball")
      const running = () => processesWith("XDG_CACHE_HOME", laptop.cache)
      expect(running().length).toBeGreaterThanOrEqual(3)
      await end(role, running)
      await call
    }

    test("when Ctrl-C comes in the middle of its installation", () =>
      inTheMiddle(async (role, running) => {
        const ended = new Promise<number | null>((done) => role.process.once("exit", done))
        role.process.kill("SIGINT")
        expect(await ended).toBe(0)
        expect(running()).toEqual([])
      }))

    test("for longer than 5 s, when the role is killed in the middle of its installation", () =>
      inTheMiddle(async (role, running) => {
        role.process.kill("SIGKILL")
        await eventually(() => running().length === 0, 5_000, "all ended")
      }))
  })
})
