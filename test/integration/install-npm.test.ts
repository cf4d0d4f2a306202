import { execFile } from "node:child_process"
import { existsSync } from "node:fs"
import { mkdir, readdir, readFile, readlink, rename, symlink, utimes, writeFile } from "node:fs/promises"
import { delimiter, join } from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest"
import { filesWith, installWith, newPlace, problemOf, runLink, secretIn } from "../support/installer.ts"
import { type NpmPackage, type NpmRegistry, startNpmRegistry } from "../support/npm-registry.ts"

// npm takes a second where nobody else works
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

const program = `#!/usr/bin/env node
import { own } from "./own.mjs"
console.log(JSON.stringify({ own, script: process.argv[1], args: process.argv.slice(2), url: import.meta.url }))
`
const server: NpmPackage = {
  name: "server",
  manifest: { bin: { server: "dist/server.mjs" } },
  files: { "dist/server.mjs": program, "dist/own.mjs": "export const own = 1\n" },
}
/** Leaves a file if its script runs. */
const scripted = { postinstall: "node -e \"require('node:fs').writeFileSync('ran', process.env.SECRET ?? 'alone')\"" }
const bin = { bin: "x.js" }
const files = { "x.js": "console.log('x')" }

let registry: NpmRegistry
beforeAll(async () => {
  registry = await startNpmRegistry(
    server,
    { name: "@private/server", manifest: bin, files },
    { name: "scripted", manifest: { ...bin, scripts: scripted }, files },
    { name: "over-scripted", manifest: { ...bin, dependencies: { scripted: "1.0.0" } }, files },
    { name: "several", manifest: { bin: { one: "one.js", two: "x.js" } }, files: { ...files, "one.js": "" } },
  )
})
afterAll(() => registry?.close())

const flagsFor = (name: string) => ({ type: "npm", name, registry: registry.url })

test("a package is installed, and node runs its program by the link, with its arguments", async () => {
  const place = await newPlace()
  const { code, report, output } = await installWith({ place, flags: flagsFor("server") })
  expect({ code, report }, output).toEqual({
    code: 0,
    report: { kind: "installed", cached: false, skippedScripts: [] },
  })
  const answer: unknown = JSON.parse(await runLink("node", place.link, ["a b", "$(id)"]))
  expect(answer).toEqual({
    own: 1,
    script: place.link,
    args: ["a b", "$(id)"],
    url: expect.stringMatching(/\/node_modules\/server\/dist\/server\.mjs$/),
  })
  // nothing else is left: no scratch folder, no unfinished tree
  expect(await readdir(place.root)).toEqual(["bin", "message", "trees"])
  expect(await readdir(place.folder)).toEqual([expect.stringMatching(/^[a-z0-9]+-[a-z0-9]+-node-\d+$/)])
})

test("what is there already needs no registry, and the link may belong to another place", async () => {
  const place = await newPlace()
  await installWith({ place, flags: flagsFor("server") })
  const seconds: number[] = []
  for (const link of [place.link, join(place.root, "new/folder/bin")]) {
    const gone = { ...flagsFor("server"), registry: "http://127.0.0.1:1/", link, "seen-as": "/as/the/server/sees/it" }
    const again = await installWith({ place, flags: gone })
    expect(again).toMatchObject({ code: 0, report: { kind: "installed", cached: true } })
    seconds.push(again.seconds)
    expect(await readlink(link)).toMatch(
      /^\/as\/the\/server\/sees\/it\/[a-z0-9-]+\/node_modules\/server\/dist\/server\.mjs$/,
    )
  }
  console.info(`cached: ${seconds.map((each) => each.toFixed(2)).join(" s, ")} s`)
})

test("two installers at once end with one tree, and both links work", async () => {
  const place = await newPlace()
  const links = ["one", "two", "three"].map((name) => join(place.root, name))
  const all = links.map((link, at) =>
    installWith({ place, flags: { ...flagsFor("server"), link, scratch: join(place.root, `scratch-${at}`) } }),
  )
  for (const { code, output } of await Promise.all(all)) expect(code, output).toBe(0)
  expect(await readdir(place.folder)).toHaveLength(1)
  for (const link of links) expect(await runLink("node", link)).toContain('"own":1')
})

test("an unfinished tree is deleted an hour after its installer was killed, and none that is younger", async () => {
  const place = await newPlace()
  await installWith({ place, flags: flagsFor("server") })
  const [tree = ""] = await readdir(place.folder)
  await rename(join(place.folder, tree), join(place.folder, ".new-old"))
  await mkdir(join(place.folder, ".new-young"))
  const hourAgo = new Date(Date.now() - 3_700_000)
  await utimes(join(place.folder, ".new-old"), hourAgo, hourAgo)
  await installWith({ place, flags: flagsFor("server") })
  expect(await readdir(place.folder)).toEqual([".new-young", tree])
})

test("what a killed installer left of credentials and of trees is gone before the server can see it", async () => {
  const place = await newPlace()
  // another Pod's installer was faster, so that nothing is left to install
  await installWith({ place, flags: flagsFor("server") })
  await mkdir(place.scratch)
  await writeFile(join(place.scratch, "npmrc"), "_authToken=canary")
  const old = join(place.folder, ".new-old")
  await mkdir(old)
  const hourAgo = Date.now() / 1_000 - 3_700
  await utimes(old, hourAgo, hourAgo)
  expect(await installWith({ place, flags: flagsFor("server") })).toMatchObject({ code: 0, report: { cached: true } })
  expect([existsSync(place.scratch), existsSync(old)]).toEqual([false, false])
})

describe("install scripts", () => {
  const ran = async (folder: string): Promise<readonly string[]> =>
    (await readdir(folder, { recursive: true })).filter((path) => path.endsWith("/ran"))

  test.for(["scripted", "over-scripted"])("of %s do not run, which the report says", async (name) => {
    const place = await newPlace()
    const { report, output } = await installWith({ place, flags: flagsFor(name) })
    expect(report).toEqual({ kind: "installed", cached: false, skippedScripts: ["scripted"] })
    expect(output).toContain("without the install scripts of scripted")
    expect(await ran(place.folder)).toEqual([])
    const again = await installWith({ place, flags: flagsFor(name) })
    expect(again.report).toEqual({ kind: "installed", cached: true, skippedScripts: ["scripted"] })
    expect(await readFile(`${place.link}.hint`, "utf8")).toMatch(/not run \(scripted\): .* package\.allowScripts\.\n$/)
    await installWith({ place: { ...place, folder: `${place.folder}-2` }, flags: flagsFor("server") })
    expect(existsSync(`${place.link}.hint`)).toBe(false)
  })

  test("cannot be had by a dependency from git: its own configuration names a program that npm would run", async () => {
    const place = await newPlace()
    const [inner, evil, marker] = ["inner", "evil", "ran-it"].map((name) => join(place.root, name))
    const commit = async (repository = "", contents: Readonly<Record<string, string>> = {}): Promise<void> => {
      await mkdir(repository)
      for (const [name, text] of Object.entries(contents))
        await writeFile(join(repository, name), text, { mode: 0o755 })
      for (const args of [
        ["init", "--quiet"],
        ["add", "--all"],
        ["commit", "--quiet", "--message", "x"],
      ])
        await promisify(execFile)("git", ["-c", "user.email=a@example.com", "-c", "user.name=a", ...args], {
          cwd: repository,
        })
    }
    await commit(inner, { "package.json": JSON.stringify({ name: "inner", version: "1.0.0" }) })
    const manifest = { name: "evil", version: "1.0.0", scripts: { prepare: "true" } }
    await commit(evil, {
      "package.json": JSON.stringify({ ...manifest, dependencies: { inner: `git+file://${inner}` } }),
      ".npmrc": "git=./evil.sh\n",
      "evil.sh": `#!/bin/sh\ntouch ${marker}\nexec git "$@"\n`,
    })
    const dependencies = { evil: `git+file://${evil}` }
    await registry.publish({ name: "from-git", manifest: { ...bin, dependencies }, files })
    const ended = await installWith({ place, flags: flagsFor("from-git") })
    expect(existsSync(marker ?? "")).toBe(false)
    expect(problemOf(ended)).toMatch(/depends on a git repository or a folder.* allowScripts: true/)
  })

  test("run if they are allowed, in a tree of their own, and get no variable of the installer", async () => {
    const place = await newPlace()
    await installWith({ place, flags: flagsFor("over-scripted") })
    const flags = { ...flagsFor("over-scripted"), "allow-scripts": true as const }
    const { report, output } = await installWith({ place, flags, environment: { SECRET: "of-the-installer" } })
    expect(report, output).toEqual({ kind: "installed", cached: false, skippedScripts: [] })
    const [marker = "", ...others] = await ran(place.folder)
    expect(others).toEqual([])
    expect(marker).toMatch(/^[a-z0-9-]+-scripts\/node_modules\/scripted\/ran$/)
    expect(await readFile(join(place.folder, marker), "utf8")).toBe("alone")
  })
})

test("the program that was asked for is linked, also of a tree that is there already", async () => {
  const place = await newPlace()
  for (const [name, file] of [
    ["two", "x.js"],
    ["one", "one.js"],
  ] as const) {
    await installWith({ place, flags: { ...flagsFor("several"), bin: name } })
    expect(await readlink(place.link)).toMatch(new RegExp(`/several/${file}$`))
  }
  const none = await installWith({ place, flags: flagsFor("several") })
  expect(problemOf(none)).toBe("several has several programs. Set bin to one of: one, two.")
})

describe("a registry that needs credentials", () => {
  test.for(["token", "password"] as const)("gets a %s, which is seen nowhere afterwards", async (kind) => {
    const place = await newPlace()
    const { username, password, token } = registry.reader
    const folder = await secretIn(place, kind === "token" ? { token: `${token}\n` } : { username, password })
    const flags = { ...flagsFor("@private/server"), "registry-secret-folder": folder }
    const ended = await installWith({ place, flags })
    expect(ended.code, ended.output).toBe(0)
    const secret = kind === "token" ? token : password
    const forms = [
      secret,
      Buffer.from(secret).toString("base64"),
      Buffer.from(`${username}:${secret}`).toString("base64"),
    ]
    for (const form of forms) expect(ended.output).not.toContain(form)
    expect(await filesWith(place.folder, forms)).toEqual([])
    expect(await filesWith(place.root, forms)).toEqual([join(folder, kind)])
    expect(existsSync(place.scratch)).toBe(false)
  })

  test("refuses whoever has none, or wrong ones, which the problem says and the log does not show", async () => {
    const token = 'wrong-${HOME}-token;#"x'
    for (const files of [{}, { token }, { username: "reader", password: token }]) {
      const place = await newPlace()
      const folder = await secretIn(place, files)
      const ended = await installWith({
        place,
        flags: { ...flagsFor("@private/server"), "registry-secret-folder": folder },
      })
      expect(problemOf(ended)).toMatch(
        Object.keys(files).length === 0
          ? /^Credentials for @private\/server are wanted by .+, and there are none\. Make the registry's Secret/
          : /^The credentials for @private\/server are refused by .+\. Correct the registry's Secret/,
      )
      expect(ended.output).not.toContain("wrong-")
    }
  })

  test("is not asked with a Secret that is not usable, or that belongs to no registry", async () => {
    const cases = [
      [{ username: "reader" }, {}, "is not complete"],
      [{ token: "two\nlines" }, {}, "'token' must be a file that can be read, with one line of text"],
      [{ token: "right" }, { registry: undefined }, "none is named"],
    ] as const
    for (const [files, flags, problem] of cases) {
      const place = await newPlace()
      const folder = await secretIn(place, files)
      const all = { ...flagsFor("@private/server"), "registry-secret-folder": folder, ...flags }
      expect(problemOf(await installWith({ place, flags: all }))).toContain(problem)
    }
  })
})

test("a day is inclusive, to its end: what was published on it is there", async () => {
  const place = await newPlace()
  const day = (ms: number) => new Date(ms).toISOString().slice(0, 10)
  // published at the start of this file; if midnight has passed since, on the day before
  const published = day(Date.now() - performance.now())
  const early = { ...flagsFor("server"), before: day(Date.parse(published) - 86_400_000) }
  expect(problemOf(await installWith({ place, flags: early }))).toMatch(
    /^server@1\.0\.0 is not in .+ or earlier\. Set before/,
  )
  const ended = await installWith({ place, flags: { ...flagsFor("server"), before: published } })
  expect(ended.code, ended.output).toBe(0)
})

test("on a user's machine npm keeps that user's configuration, except where it would install nothing", async () => {
  const place = await newPlace()
  await writeFile(
    join(place.root, ".npmrc"),
    [
      `registry=${registry.url}`,
      "dry-run=true",
      "package-lock-only=true",
      "ignore-scripts=false",
      "loglevel=silent",
    ].join("\n"),
  )
  const flags = { type: "npm", name: "scripted", scratch: undefined }
  const environment = { HOME: place.root, npm_config_userconfig: join(place.root, ".npmrc") }
  const ended = await installWith({ place, flags, environment })
  expect(ended.report, ended.output).toEqual({ kind: "installed", cached: false, skippedScripts: ["scripted"] })
  expect(await runLink("node", place.link)).toBe("x\n")
  const unknown = await installWith({ place: await newPlace(), flags: { ...flags, name: "nobody" }, environment })
  expect(problemOf(unknown)).toMatch(/^nobody@1\.0\.0 is not in the registry\. Correct the name/)
})

test("a tree without the package is not kept", async () => {
  const place = await newPlace()
  // ends well, and does nothing
  await symlink("/bin/true", join(place.root, "npm"))
  const environment = { PATH: `${place.root}${delimiter}${process.env.PATH}` }
  const ended = await installWith({ place, flags: flagsFor("server"), environment })
  expect(problemOf(ended)).toContain("npm failed with exit code 0")
  expect(await readdir(place.folder)).toEqual([])
})
