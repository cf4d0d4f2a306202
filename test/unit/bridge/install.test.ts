import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, onTestFinished, test } from "vitest"
import { installBridge } from "../../../src/bridge/install.ts"

/** A folder like that of the image: the library is a link, and no file may be executed. */
const createImage = () => {
  const root = mkdtempSync(join(tmpdir(), "install-"))
  onTestFinished(() => rmSync(root, { recursive: true }))
  const [own, target] = [join(root, "own"), join(root, "target")]
  mkdirSync(join(own, "lib"), { recursive: true })
  mkdirSync(target)
  for (const name of ["loader", "reflow", "other"]) writeFileSync(join(own, name), `the ${name}`, { mode: 0o600 })
  writeFileSync(join(own, "lib/libc.so.6.1"), "the library")
  symlinkSync("libc.so.6.1", join(own, "lib/libc.so.6"))
  return { root, own, target, program: join(own, "reflow") }
}

test("the installed folder has the program, its loader and its libraries, and nothing else", () => {
  const { target, program } = createImage()
  installBridge(program, target)
  expect(["reflow", "loader"].map((name) => readFileSync(join(target, name), "utf8"))).toEqual([
    "the reflow",
    "the loader",
  ])
  expect(readFileSync(join(target, "lib/libc.so.6.1"), "utf8")).toBe("the library")
  expect(lstatSync(join(target, "other"), { throwIfNoEntry: false })).toBeUndefined()
})

test("libraries that are links in the image are installed as files: where the links lead is not in the Pod", () => {
  const { own, target, program } = createImage()
  installBridge(program, target)
  rmSync(own, { recursive: true })
  expect(lstatSync(join(target, "lib/libc.so.6")).isFile()).toBe(true)
  expect(readFileSync(join(target, "lib/libc.so.6"), "utf8")).toBe("the library")
})

test("all users may execute the installed program and its loader", () => {
  const { target, program } = createImage()
  installBridge(program, target)
  for (const name of ["reflow", "loader"]) expect(statSync(join(target, name)).mode & 0o777).toBe(0o755)
})

test("the folder is that of the program itself, though it was started by a link", () => {
  const { root, target, program } = createImage()
  const link = join(root, "link")
  symlinkSync(program, link)
  installBridge(link, target)
  expect(readFileSync(join(target, "loader"), "utf8")).toBe("the loader")
})

test("what was installed before is replaced", () => {
  const { target, program } = createImage()
  installBridge(program, target)
  chmodSync(join(target, "reflow"), 0o644)
  writeFileSync(join(target, "reflow"), "an older one")
  installBridge(program, target)
  expect(readFileSync(join(target, "reflow"), "utf8")).toBe("the reflow")
})

test.for(["loader", "lib"])("a program beside which there is no %s is not installed", (name) => {
  const { own, target, program } = createImage()
  rmSync(join(own, name), { recursive: true })
  expect(() => installBridge(program, target)).toThrow(expect.objectContaining({ code: "UsageInvalid" }))
  expect(lstatSync(join(target, "reflow"), { throwIfNoEntry: false })).toBeUndefined()
})
