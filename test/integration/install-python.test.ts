import { existsSync } from "node:fs"
import { readdir, rename, symlink } from "node:fs/promises"
import { delimiter, join } from "node:path"
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest"
import { filesWith, installWith, newPlace, type Place, problemOf, runLink, secretIn } from "../support/installer.ts"
import { type PythonIndex, type PythonPackage, reader, startPythonIndex } from "../support/python-index.ts"
import { pythonTools } from "../support/python-tools.ts"

// the first run makes the tools
vi.setConfig({ testTimeout: 60_000, hookTimeout: 600_000 })

const program = `import json, multiprocessing, os, subprocess, sys
from server_package import own

def double(value):
    return 2 * value

def main():
    child = subprocess.run([sys.executable, "-c", "import server_package; print(server_package.own)"], capture_output=True, text=True)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        doubled = pool.map(double, [own])
    print(json.dumps({"own": own, "child": child.stdout.strip(), "doubled": doubled, "argv": sys.argv, "name": __name__}))
    return 0
`
const said = "def main():\n    print('said')\n\ndef second():\n    print('second')\n"
/** A build backend without dependencies: it makes an empty wheel, if it is run at all. */
const sources = {
  pyproject: '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
  files: {
    "backend.py": `import zipfile
def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "only_sources-1.0.0"
    with zipfile.ZipFile(f"{folder}/{name}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("built.py", ${JSON.stringify(said)})
        wheel.writestr(f"{name}.dist-info/METADATA", "Metadata-Version: 2.1\\nName: only-sources\\nVersion: 1.0.0\\n")
        wheel.writestr(f"{name}.dist-info/WHEEL", "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{name}.dist-info/entry_points.txt", "[console_scripts]\\nonly-sources = built:main\\n")
        wheel.writestr(f"{name}.dist-info/RECORD", "")
    return f"{name}-py3-none-any.whl"
`,
  },
}
const packages: readonly PythonPackage[] = [
  {
    name: "Mcp.Server",
    version: "1.0.0",
    scripts: { "mcp-server": "server_package.cli:main", other: "server_package.cli:double" },
    files: { "server_package/__init__.py": "own = 21\n", "server_package/cli.py": program },
  },
  { name: "library", version: "1.0.0", files: { "library.py": "" } },
  { name: "several", version: "1.0.0", scripts: { one: "said:main", two: "said:second" }, files: { "said.py": said } },
  { name: "only-sources", version: "1.0.0", ...sources },
  { name: "needs-sources", version: "1.0.0", requires: ["only-sources"] },
  { name: "needs-unknown", version: "1.0.0", requires: ["nowhere"] },
  { name: "future", version: "1.0.0", requires_python: ">=3.99" },
  { name: "conflict", version: "1.0.0", requires: ["library==1.0.0", "other"] },
  { name: "other", version: "1.0.0", requires: ["library==0.9"] },
]

const tools = await pythonTools()
const bin = tools ?? ""

describe.skipIf(tools === undefined)("a Python package", () => {
  let index: PythonIndex
  let locked: PythonIndex
  beforeAll(async () => {
    index = await startPythonIndex(bin, packages)
    locked = await startPythonIndex(bin, packages, true)
  })
  afterAll(async () => {
    await index?.close()
    await locked?.close()
  })

  const environment = { PATH: `${bin}${delimiter}${process.env.PATH}` }
  const install = (place: Place, flags: Readonly<Record<string, string | true>>) =>
    installWith({ place, flags: { type: "pypi", registry: index.url, ...flags }, environment })

  test("is installed, and python3 runs its program by the link: with its packages, also in its children", async () => {
    const place = await newPlace()
    const { code, report, output } = await install(place, { name: "mcp_server" })
    expect({ code, report }, output).toEqual({
      code: 0,
      report: { kind: "installed", cached: false, skippedScripts: [] },
    })
    const [tree = "", ...others] = await readdir(place.folder)
    expect([tree, ...others]).toEqual([expect.stringMatching(/^[a-z0-9._-]+-cpython-3\d+$/)])
    expect(JSON.parse(await runLink("python3", place.link, ["a b"], bin))).toEqual({
      own: 21,
      child: "21",
      doubled: [42],
      argv: [join(place.folder, tree, "site/bin/mcp-server"), "a b"],
      name: "server_package.cli",
    })
    expect(existsSync(place.scratch)).toBe(false)
  })

  test("runs where the server sees it, from a folder that cannot be written", async () => {
    const place = await newPlace()
    const seen = join(place.root, "seen")
    const { code, output } = await install(place, { name: "Mcp.Server", "seen-as": seen })
    expect(code, output).toBe(0)
    await rename(place.folder, join(place.root, "elsewhere"))
    await symlink(join(place.root, "elsewhere"), seen)
    expect(await runLink("python3", place.link, [], bin)).toContain('"own": 21')
    const compiled = (await readdir(join(place.root, "elsewhere"), { recursive: true })).filter((path) =>
      path.endsWith(".pyc"),
    )
    expect(compiled.some((path) => path.includes("server_package/__pycache__/cli."))).toBe(true)
  })

  test("that is there already needs no index", async () => {
    const place = await newPlace()
    await install(place, { name: "several", bin: "one" })
    const again = await install(place, { name: "several", bin: "two", registry: "http://127.0.0.1:1/simple/" })
    expect(again).toMatchObject({ code: 0, report: { kind: "installed", cached: true } })
    console.info(`cached: ${again.seconds.toFixed(2)} s`)
    expect(await runLink("python3", place.link, [], bin)).toBe("second\n")
    await install(place, { name: "several", bin: "one" })
    expect(await runLink("python3", place.link, [], bin)).toBe("said\n")
  })

  test("with sources only is built if scripts are allowed, and not otherwise", async () => {
    const place = await newPlace()
    const refused = await install(place, { name: "needs-sources" })
    expect(problemOf(refused)).toMatch(
      /^only-sources==1\.0\.0, which needs-sources==1\.0\.0 needs, has no wheel .+ allowScripts: true/,
    )
    const built = await install(place, { name: "only-sources", "allow-scripts": true })
    expect(built.code, built.output).toBe(0)
    expect(await runLink("python3", place.link, [], bin)).toBe("said\n")
    expect(await readdir(place.folder)).toEqual([expect.stringMatching(/-scripts$/)])
  })

  test.for([
    [{ name: "library" }, "library has no program: no console script. It is a library"],
    [{ name: "several" }, "several has several programs. Set bin to one of: one, two."],
    [{ name: "several", bin: "three" }, "several has no program named three. Set bin to one of: one, two."],
    [{ name: "nobody" }, "nobody is not in the registry 127.0.0.1:"],
    [{ name: "library", version: "7.0.0" }, "There is no library==7.0.0 in the registry"],
    [{ name: "needs-unknown" }, "nowhere, which needs-unknown==1.0.0 needs, is not in the registry"],
    [{ name: "future" }, "future==1.0.0 is not for the Python of this image."],
    [{ name: "conflict" }, "The packages that conflict==1.0.0 needs do not fit together."],
    [{ name: "library", before: "2026-11-01" }, "have no dates, so before cannot be obeyed. Remove before"],
    [{ name: "library", registry: "http://127.0.0.1:1/simple/" }, "accepts no connection (ECONNREFUSED)"],
    [{ name: "library", registry: "http://index.invalid/simple/" }, "there is no host index.invalid"],
  ] as const)("that cannot be run is refused: %j", async ([flags, problem]) => {
    const place = await newPlace()
    const ended = await install(place, flags)
    expect(problemOf(ended)).toContain(problem)
    expect(ended.seconds).toBeLessThan(20)
    expect((await readdir(place.folder)).filter((each) => each.startsWith("."))).toEqual([])
    expect(existsSync(place.scratch)).toBe(false)
  })

  test("needs python3 and uv, and the one that is missing is named", async () => {
    const place = await newPlace()
    const without = async () => {
      const flags = { type: "pypi", registry: index.url, name: "library" }
      return problemOf(await installWith({ place, flags, environment: { PATH: place.root } }))
    }
    expect(await without()).toMatch(/^python3 is not on the PATH\. Use an image that has python3 and uv/)
    await symlink(join(bin, "python3"), join(place.root, "python3"))
    expect(await without()).toMatch(/^uv is not on the PATH\./)
  })

  test.for(["token", "password"] as const)(
    "comes from an index that needs a %s, which is seen nowhere afterwards",
    async (kind) => {
      const place = await newPlace()
      const { username, password } = reader
      const folder = await secretIn(place, kind === "token" ? { token: `${password}\n` } : { username, password })
      const ended = await install(place, { name: "Mcp.Server", registry: locked.url, "registry-secret-folder": folder })
      expect(ended.code, ended.output).toBe(0)
      const forms = [password, encodeURIComponent(password), Buffer.from(password).toString("base64")]
      for (const form of forms) expect(ended.output).not.toContain(form)
      expect(await filesWith(place.root, forms)).toEqual([join(folder, kind)])
    },
  )

  test("is not handed out to whoever has no credentials, or wrong ones", async () => {
    for (const [files, problem] of [
      [{}, "and there are none. Make the registry's Secret"],
      [{ token: "a-wrong-token" }, "Let the registry's Secret have right credentials"],
    ] as const) {
      const place = await newPlace()
      const folder = await secretIn(place, files)
      const ended = await install(place, { name: "library", registry: locked.url, "registry-secret-folder": folder })
      expect(problemOf(ended)).toContain(problem)
      expect(ended.output).not.toContain("a-wrong-token")
    }
  })
})
