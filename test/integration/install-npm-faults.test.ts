import { readdir } from "node:fs/promises"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest"
import { type Fault, startFaultyRegistry } from "../support/faulty-registry.ts"
import { installWith, newPlace, problemOf } from "../support/installer.ts"
import { type NpmRegistry, startNpmRegistry } from "../support/npm-registry.ts"

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

const files = { "x.js": "console.log('x')" }
const bin = { bin: "x.js" }

let registry: NpmRegistry
beforeAll(async () => {
  registry = await startNpmRegistry(
    { name: "plain", manifest: bin, files },
    { name: "library" },
    { name: "made-later", manifest: { scripts: { postinstall: "true" } } },
    { name: "missing", manifest: bin },
    { name: "outside", manifest: { bin: "../../x" } },
    { name: "shell", manifest: { bin: "x.sh" }, files: { "x.sh": "#!/bin/bash\necho\n" } },
    { name: "compiled", manifest: { bin: "x" }, files: { x: "\x7FELF\x02" } },
    { name: "needs-unknown", manifest: { ...bin, dependencies: { nowhere: "1.0.0" } }, files },
    { name: "needs-newer", manifest: { ...bin, dependencies: { plain: "^2.0.0" } }, files },
    { name: "elsewhere", manifest: { ...bin, os: ["aix"] }, files },
    { name: "escaping", manifest: { bin: "made.js", scripts: { postinstall: "ln -s ../../package.json made.js" } } },
    { name: "failing", manifest: { ...bin, scripts: { postinstall: "echo 'no compiler' >&2; exit 3" } }, files },
  )
})
afterAll(() => registry?.close())

const flagsFor = (name: string) => ({ type: "npm", name, registry: registry.url })

describe("a package that cannot be run is refused:", () => {
  test.for([
    ["library", "library has no program: no bin in its package.json. It is a library"],
    ["made-later", "If its install script makes one, set allowScripts: true."],
    ["missing", "missing has no file x.js, which its program missing should be. If its install script makes it, set"],
    ["outside", "The program outside of outside is a file outside of the package."],
    ["shell", "The program shell of shell is not for Node: it is a script for /bin/bash."],
    ["compiled", "The program compiled of compiled is not for Node: it is compiled for a machine."],
    ["nobody", "nobody@1.0.0 is not in the registry 127.0.0.1:"],
    ["needs-unknown", "nowhere@1.0.0, which needs-unknown@1.0.0 needs, is not in the registry"],
    ["needs-newer", "There is no plain@^2.0.0 in the registry"],
    ["elsewhere", "elsewhere@1.0.0, or a package that it needs, is not for this platform"],
  ] as const)("%s", async ([name, problem]) => {
    const place = await newPlace()
    const ended = await installWith({ place, flags: flagsFor(name) })
    expect(problemOf(ended)).toContain(problem)
    expect(ended.output).toContain(`reflow-install: ${problemOf(ended)}`)
    expect((await readdir(place.root)).sort()).toEqual(["message", "trees"])
    expect((await readdir(place.folder)).filter((each) => each.startsWith("."))).toEqual([])
  })
})

test("a version that does not exist is named", async () => {
  const place = await newPlace()
  const ended = await installWith({ place, flags: { ...flagsFor("plain"), version: "7.1.0" } })
  expect(problemOf(ended)).toMatch(/^There is no plain@7\.1\.0 in the registry .+\. Correct the version\.$/)
})

test("a program that an install script makes a link out of the package is not run", async () => {
  const place = await newPlace()
  const ended = await installWith({ place, flags: { ...flagsFor("escaping"), "allow-scripts": true } })
  expect(problemOf(ended)).toContain("The program escaping of escaping is a file outside of the package.")
})

test("what an install script says at its end is in the report", async () => {
  const place = await newPlace()
  const ended = await installWith({ place, flags: { ...flagsFor("failing"), "allow-scripts": true } })
  expect(problemOf(ended)).toContain("An install script of failing@1.0.0")
  expect(ended.report).toMatchObject({ lines: expect.arrayContaining(["npm error no compiler"]) })
})

const faulty = async (fault: Fault) => {
  const server = await startFaultyRegistry(fault, { name: "plain", manifest: bin, files })
  onTestFinished(() => server.close())
  return server
}

describe("a registry with a fault ends the installation, and nothing of the package is left:", () => {
  test.for([
    ["changed", "A package has other content than the registry"],
    ["reset", "The connection to the registry"],
    [{ status: 500 }, "answers with errors"],
    [{ status: 404 }, "plain@1.0.0 is not in the registry"],
    [{ status: 403 }, "is forbidden by the registry"],
    [{ status: 401 }, "and there are none. Make the registry's Secret"],
  ] as const)("%j", async ([fault, problem]) => {
    const server = await faulty(fault)
    const place = await newPlace()
    const ended = await installWith({ place, flags: { ...flagsFor("plain"), registry: server.url } })
    expect(problemOf(ended)).toContain(problem)
    expect(server.requests.length).toBeGreaterThan(0)
    expect(await readdir(place.folder)).toEqual([])
  })

  test.for([
    ["a port that nobody listens on", "http://127.0.0.1:1/", "accepts no connection (ECONNREFUSED)"],
    ["a host that does not exist", "http://registry.invalid/", "there is no host registry.invalid"],
  ] as const)("%s, without asking npm", async ([, url, problem]) => {
    const place = await newPlace()
    const ended = await installWith({ place, flags: { ...flagsFor("plain"), registry: url } })
    expect(problemOf(ended)).toContain(problem)
    expect(ended.output).not.toContain("npm error")
  })
})

test.for([
  ["node", "/nonexistent"],
  ["npm", join(import.meta.dirname, "../../node_modules/node/bin")],
] as const)("%s that is missing is named", async ([program, PATH]) => {
  const place = await newPlace()
  const ended = await installWith({ place, flags: flagsFor("plain"), environment: { PATH } })
  expect(problemOf(ended)).toMatch(new RegExp(`^${program} is not on the PATH\\. Use an image that has node and npm`))
})

test("a value that could be a flag, a path or a command is refused, and nothing is run", async () => {
  const hostile = [
    { name: "--registry=http://elsewhere.example" },
    { name: "../plain" },
    { name: "plain; touch x" },
    { name: "http://elsewhere.example/plain.tgz" },
    { version: "latest" },
    { version: "1.0.0 --ignore-scripts=false" },
    { registry: "http://user:password@127.0.0.1/" },
    { registry: "file:///etc" },
    { bin: "../x" },
    { before: "2026-02-31" },
    { folder: "relative" },
  ]
  for (const flags of hostile) {
    const place = await newPlace()
    const ended = await installWith({ place, flags: { ...flagsFor("plain"), ...flags } })
    expect(ended.code, JSON.stringify(flags)).toBe(2)
    expect(ended.output).toContain("UsageInvalid")
    expect(await readdir(place.root)).toEqual([])
  }
})
