import { readFileSync } from "node:fs"
import { expect, test } from "vitest"
import { leftOut, type Machine } from "../../build.install.ts"
import { repositoryFile } from "../support/reflow.ts"

const here: Machine = { os: "linux", cpu: "x64", libc: "glibc" }
const native = { optional: true, os: ["linux"], cpu: ["x64"] }
const nothing = () => false

test("what npm left out is what is made for this machine alone and is not there", () => {
  const packages = {
    "": {},
    "node_modules/plain": {},
    "node_modules/native": native,
    "node_modules/of-glibc": { ...native, libc: ["glibc"] },
    "node_modules/of-musl": { ...native, libc: ["musl"] },
    "node_modules/of-arm": { ...native, cpu: ["arm64"] },
    "node_modules/of-macos": { ...native, os: ["darwin"] },
    "node_modules/of-wasm": { optional: true, cpu: ["wasm32"] },
    "node_modules/there": native,
  }
  expect(leftOut(packages, here, (folder) => folder.endsWith("there"))).toEqual([
    "node_modules/native",
    "node_modules/of-glibc",
  ])
})

test("the lock names native packages that an old Node would leave out, for each machine that we say we run on", () => {
  const { packages } = JSON.parse(readFileSync(repositoryFile("package-lock.json"), "utf8"))
  for (const machine of [here, { ...here, cpu: "arm64" }, { ...here, libc: "musl" as const }])
    expect(leftOut(packages, machine, nothing).join()).toContain("@rolldown/binding-linux")
  expect(leftOut(packages, { os: "darwin", cpu: "arm64", libc: undefined }, nothing).join()).toContain("@rolldown/")
})
