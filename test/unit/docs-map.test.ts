import { existsSync, readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { expect, test } from "vitest"

const root = resolve(import.meta.dirname, "../..")
const map = readFileSync(join(root, "docs/map.md"), "utf8")

test("every file that the map names is there", () => {
  let folder = "src"
  const missing: string[] = []
  for (const line of map.split("\n")) {
    const heading = /^## .*\(`(src\/\w+)`\)/.exec(line)
    if (heading !== null) folder = heading[1] ?? folder
    else if (line.startsWith("## ")) folder = "src"
    let room = folder
    for (const [, name] of line.matchAll(/`([\w/.-]+\.ts)`/g)) {
      const path = name ?? ""
      const whole = existsSync(join(root, path))
      if (whole && path.includes("/")) room = path.slice(0, path.lastIndexOf("/"))
      if (whole) continue
      if (!existsSync(join(root, room, path)) && !existsSync(join(root, folder, path))) missing.push(path)
    }
  }
  expect(missing).toEqual([])
})
