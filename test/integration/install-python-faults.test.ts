import { readdir } from "node:fs/promises"
import { delimiter } from "node:path"
import { describe, expect, onTestFinished, test, vi } from "vitest"
import { type DatedPackage, startDatedIndex } from "../support/dated-index.ts"
import type { Fault } from "../support/faulty-registry.ts"
import { installWith, newPlace, problemOf, runLink } from "../support/installer.ts"
import { pythonTools } from "../support/python-tools.ts"

// the first run makes the tools
vi.setConfig({ testTimeout: 60_000, hookTimeout: 600_000 })

const versionOf = (version: string, published: string): DatedPackage => ({
  name: "dated",
  version,
  published,
  scripts: { dated: "dated:main" },
  files: { "dated.py": `def main():\n    print('said ${version}')\n` },
})

const tools = await pythonTools()
const bin = tools ?? ""

describe.skipIf(tools === undefined)("a Python package", () => {
  const installFrom = async (
    packages: readonly DatedPackage[],
    flags: Readonly<Record<string, string>>,
    fault?: Fault,
  ) => {
    const index = await startDatedIndex(bin, packages, fault)
    onTestFinished(() => index.close())
    const place = await newPlace()
    const environment = { PATH: `${bin}${delimiter}${process.env.PATH}` }
    const all = { type: "pypi", name: "dated", registry: index.url, ...flags }
    return { place, ended: await installWith({ place, flags: all, environment }) }
  }

  test("is taken if it was published before the end of a day, and not after it", async () => {
    const packages = [versionOf("1.0.0", "2026-03-01T23:59:59Z"), versionOf("2.0.0", "2026-03-02T00:00:00Z")]
    const { place, ended } = await installFrom(packages, { before: "2026-03-01" })
    expect(ended.code, ended.output).toBe(0)
    expect(await runLink("python3", place.link, [], bin)).toBe("said 1.0.0\n")
    const later = await installFrom(packages, { before: "2026-03-01", version: "2.0.0" })
    expect(problemOf(later.ended)).toMatch(
      /^dated==2\.0\.0.* is not in the registry .+ or earlier\. Set before to a later day/,
    )
  })

  test.for([
    ["changed", "A package has other content than the registry"],
    ["reset", "The connection to the registry"],
    ["endless", "was not installed within 8s"],
    [{ status: 500 }, "answers with errors"],
    [{ status: 404 }, "dated is not in the registry"],
    [{ status: 403 }, "is forbidden by the registry"],
    [{ status: 401 }, "and there are none. Make the registry's Secret"],
  ] as const)("of an index with a fault is not installed, and nothing of it is left: %j", async ([fault, problem]) => {
    const { place, ended } = await installFrom([versionOf("1.0.0", "2026-03-01T00:00:00Z")], { timeout: "8s" }, fault)
    expect(problemOf(ended), ended.output).toContain(problem)
    expect(await readdir(place.folder)).toEqual([])
  })
})
