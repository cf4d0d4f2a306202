import { execFileSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import { mkdir, readdir, writeFile } from "node:fs/promises"
import { getuid } from "node:process"
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest"
import { startFaultyRegistry } from "../support/faulty-registry.ts"
import { installWith, newPlace, placeIn, problemOf, startInstaller } from "../support/installer.ts"
import { type NpmRegistry, startNpmRegistry } from "../support/npm-registry.ts"
import { eventually, processesWith } from "../support/processes.ts"

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

/** Starts a process in the background that outlives its script, if it may, and waits for it. */
const stuck = "sleep 600 & echo started >&2; exec sleep 600"
const files = { "x.js": "console.log('x')" }

let registry: NpmRegistry
beforeAll(async () => {
  registry = await startNpmRegistry(
    { name: "stuck", manifest: { bin: "x.js", scripts: { postinstall: stuck } }, files },
    {
      name: "large",
      manifest: { bin: "x.js" },
      files: { ...files, "large.txt": randomBytes(4 * 2 ** 20).toString("hex") },
    },
  )
})
afterAll(() => registry?.close())

/** An installation whose script hangs with a grandchild, and those of its processes that live. */
const hanging = async (flags: Readonly<Record<string, string>>) => {
  const place = await newPlace()
  const installer = startInstaller({
    place,
    flags: { type: "npm", name: "stuck", registry: registry.url, "allow-scripts": true, ...flags },
  })
  onTestFinished(() => void installer.child.kill("SIGKILL"))
  // npm and all that it starts have it, the installer has not
  const alive = () => processesWith("HOME", `${place.scratch}/home`)
  const sleeping = () => alive().filter(({ command }) => command[0] === "sleep")
  return { place, installer, alive, sleeping }
}

test("when the time is up npm, its scripts and their children are killed, and the report says so", async () => {
  const { place, installer, alive, sleeping } = await hanging({ timeout: "6s" })
  await eventually(() => sleeping().length === 2, 20_000, "the script and its child run")
  const ended = await installer.ended
  expect(problemOf(ended)).toMatch(/^stuck@1\.0\.0 was not installed within 6s\./)
  await eventually(() => alive().length === 0, 5_000, "all of them have ended")
  expect(await readdir(place.folder)).toEqual([])
})

test.for([
  ["SIGTERM", 143],
  ["SIGINT", 130],
  ["SIGHUP", 129],
] as const)(
  "%s ends npm, its scripts and the installer at once, with code %i and no report",
  async ([signal, code]) => {
    const { place, installer, alive, sleeping } = await hanging({})
    await eventually(() => sleeping().length === 2, 20_000, "the script and its child run")
    const asked = performance.now()
    installer.child.kill(signal)
    expect(await installer.ended).toMatchObject({ code, report: undefined })
    expect(performance.now() - asked).toBeLessThan(5_000)
    await eventually(() => alive().length === 0, 5_000, "all of them have ended")
    expect(await readdir(place.root)).toEqual(["trees"])
    expect(await readdir(place.folder)).toEqual([])
  },
)

test("a tarball that never comes is given up when the time is up", async () => {
  const server = await startFaultyRegistry("endless", { name: "plain", manifest: { bin: "x.js" }, files })
  onTestFinished(() => server.close())
  const place = await newPlace()
  const ended = await installWith({ place, flags: { type: "npm", name: "plain", registry: server.url, timeout: "4s" } })
  expect(problemOf(ended)).toContain("was not installed within 4s")
})

describe.skipIf(getuid?.() !== 0 || process.platform !== "linux")("on a disk of 4 MiB", () => {
  test.for(["folder", "scratch"] as const)("a package of 8 MiB ends with its problem: %s", async (small) => {
    const { root } = await newPlace()
    const disk = `${root}/disk`
    await mkdir(disk)
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=4m", "tmpfs", disk])
    onTestFinished(() => void execFileSync("umount", [disk]))
    const place = { ...placeIn(root), [small]: `${disk}/${small}` }
    const ended = await installWith({ place, flags: { type: "npm", name: "large", registry: registry.url } })
    expect(problemOf(ended)).toMatch(/^The disk is full/)
  })
})

test("a folder that cannot be written is named", async () => {
  const place = await newPlace()
  await writeFile(`${place.root}/file`, "")
  const ended = await installWith({
    place,
    flags: { type: "npm", name: "large", registry: registry.url, folder: `${place.root}/file/folder` },
  })
  expect(problemOf(ended)).toMatch(/^The file system refuses: ENOTDIR/)
})
