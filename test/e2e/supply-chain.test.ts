/** What is in the program that is built, and whether others can build the same. */
import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import { cpSync, createReadStream, globSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pipeline } from "node:stream/promises"
import { promisify } from "node:util"
import { Ajv } from "ajv"
import { afterAll, describe, expect, test } from "vitest"
import { type Lockfile, type Part, partsOf } from "../../build.packages.ts"
import manifest from "../../package.json" with { type: "json" }
import { repositoryFile } from "../support/reflow.ts"

const readJson = (path: string) => JSON.parse(readFileSync(repositoryFile(path), "utf8"))

const lockfile: Lockfile = readJson("package-lock.json")
const bill = readJson("dist/reflow.cdx.json")
const notices = readFileSync(repositoryFile("dist/THIRD-PARTY.txt"), "utf8")

/** Files of packages in the bundle, by the comments that esbuild leaves above each. */
const bundled = [
  ...readFileSync(repositoryFile("dist/reflow.mjs"), "utf8").matchAll(/^\/\/ (node_modules\/\S+)$/gm),
].map(([, path = ""]) => path)
const parts = partsOf(bundled, lockfile)

describe("the bill of materials", () => {
  const packages = bill.components.filter(({ type }: { type: string }) => type === "library")

  test("is valid CycloneDX 1.5", () => {
    const ajv = new Ajv({ strict: false, validateFormats: false })
    const schemaNamed = (name: string) =>
      readJson(`node_modules/@cyclonedx/cyclonedx-library/res/schema/${name}.SNAPSHOT.schema.json`)
    for (const name of ["spdx", "jsf-0.82"])
      ajv.addSchema(schemaNamed(name), `http://cyclonedx.org/schema/${name}.SNAPSHOT.schema.json`)
    const isValid = ajv.compile(schemaNamed("bom-1.5"))
    expect(isValid(bill), JSON.stringify(isValid.errors)).toBe(true)
    expect(isValid({ ...bill, components: [{ type: "library" }] })).toBe(false)
  })

  test("names each package of which a file is in the bundle, in the lockfile's version, and no other", () => {
    expect(parts.length).toBeGreaterThan(20)
    const named = packages.map((each: { "bom-ref": string; version: string }) => `${each["bom-ref"]} ${each.version}`)
    const wanted = parts.map(({ folder }) => `${folder} ${lockfile.packages[folder]?.version}`)
    expect(named.toSorted()).toEqual(wanted.toSorted())
  })

  test("names the program, and Node in the executable with the libraries in it", () => {
    expect(bill.metadata.component).toMatchObject({ name: manifest.name, version: manifest.version })
    const node = bill.components.find(({ name }: { name: string }) => name === "node")
    expect(node).toMatchObject({ type: "platform", version: manifest.devDependencies.node })
    const inside = node.components.map(({ name }: { name: string }) => name)
    expect(inside).toEqual(expect.arrayContaining(["openssl", "v8", "zlib", "nghttp2", "llhttp"]))
  })

  test("has a digest of each package, and leads from the program to each by what needs what", () => {
    for (const { hashes } of packages) expect(hashes[0].content).toMatch(/^[0-9a-f]{128}$/)
    const refs = new Set([bill.metadata.component, ...bill.components].map((each) => each["bom-ref"]))
    expect(refs.size).toBe(bill.components.length + 1)
    for (const { ref, dependsOn } of bill.dependencies)
      for (const each of [ref, ...dependsOn]) expect(refs, each).toContain(each)
    const needed = new Set(bill.dependencies.slice(1).flatMap((each: { dependsOn: string[] }) => each.dependsOn))
    const direct = Object.keys(manifest.devDependencies).map((name) => `node_modules/${name}`)
    const orphans = parts.filter(({ folder }) => !needed.has(folder) && !direct.includes(folder))
    expect(orphans.map(({ name }) => name)).toEqual([])
  })
})

describe("the licences of what is in the program", () => {
  /** Those that ask for no more than their text to go along. */
  const permissive = ["Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "Unlicense"]

  test("are permissive ones", () => {
    expect(parts.filter(({ license }) => !permissive.includes(license)).map(({ name }) => name)).toEqual([])
  })

  test("go along with it, each with its text", () => {
    const [, ...texts] = notices.split(/^={80}$/m)
    expect(texts).toHaveLength(parts.length)
    for (const [index, { name, version, license }] of parts.entries()) {
      expect(texts[index]).toContain(`\n${name} ${version} (${license})\n`)
      expect(texts[index]?.length, name).toBeGreaterThan(400)
    }
  })

  test("are listed in docs/third-party.md, which is not stale", async () => {
    const row = ({ name, version, license }: Part) => `| \`${name}\` | ${version} | ${license} |`
    const page = `# What the program contains

This table lists the packages in \`dist/reflow.mjs\` and \`dist/reflow\`, with versions and licences from package-lock.json. The single
executable \`dist/reflow\` also contains Node ${manifest.devDependencies.node} (MIT) and its libraries. \`npm run build\` writes the texts of
all licences to \`dist/THIRD-PARTY.txt\`, which is in the image and in the package. It also writes a bill of materials with digests to
\`dist/reflow.cdx.json\` (CycloneDX 1.5).

This page is generated from the bundle. A test fails when the page is stale. This command renews it:
\`npx vitest run --update test/e2e/supply-chain.test.ts\`

| package | version | licence |
|---|---|---|
${parts.map(row).join("\n")}
`
    await expect(page).toMatchFileSnapshot("../../docs/third-party.md")
  })
})

describe("a second build, in another folder", () => {
  const folder = mkdtempSync(join(tmpdir(), "reflow-second-build-"))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  const digest = async (path: string): Promise<string> => {
    const hash = createHash("sha256")
    await pipeline(createReadStream(path), hash)
    return hash.digest("hex")
  }

  test("makes the same bundle, executable, bill of materials and licences, byte by byte", {
    timeout: 240_000,
  }, async () => {
    const second = join(folder, "elsewhere/deeper")
    for (const name of [
      "package.json",
      "package-lock.json",
      ...globSync("build.*.ts", { cwd: repositoryFile(".") }),
      "tsconfig.json",
      "src",
      "plugins",
    ])
      cpSync(repositoryFile(name), join(second, name), { recursive: true })
    // linked, not copied: packages are as npm installs them, wherever that is
    await promisify(execFile)("cp", ["-al", repositoryFile("node_modules"), second]).catch(() =>
      cpSync(repositoryFile("node_modules"), join(second, "node_modules"), { recursive: true, verbatimSymlinks: true }),
    )
    const script = 'await (await import("./build.config.ts")).buildOutputs(["bundle", "executable", "notices"])'
    await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script], { cwd: second })
    const made = readdirSync(join(second, "dist")).sort()
    expect(made).toEqual(expect.arrayContaining(["THIRD-PARTY.txt", "reflow", "reflow.cdx.json", "reflow.mjs"]))
    for (const name of made)
      expect(await digest(join(second, "dist", name)), name).toBe(await digest(repositoryFile(`dist/${name}`)))
  })
})
