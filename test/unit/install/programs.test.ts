import { describe, expect, test } from "vitest"
import { chooseProgram } from "../../../src/install/choice.ts"
import { foreignTo, readBins, staysInside } from "../../../src/install/npm-program.ts"
import type { Order } from "../../../src/install/order.ts"
import { readConsoleScripts } from "../../../src/install/python-program.ts"

const order = (changes: Partial<Order>): Order => ({
  type: "npm",
  name: "server",
  version: "1.0.0",
  before: undefined,
  registry: undefined,
  secretFolder: undefined,
  bin: undefined,
  allowScripts: false,
  folder: "/tree",
  seenAs: "/tree",
  link: "/bin",
  scratch: undefined,
  timeoutMs: 1,
  messageFile: undefined,
  ...changes,
})

const chosen = (changes: Partial<Order>, programs: Readonly<Record<string, string>>, hasScripts = false) => {
  const found = chooseProgram(order(changes), new Map(Object.entries(programs)), hasScripts)
  return "problem" in found ? found.problem : found.name
}

describe("of several programs", () => {
  test("the one is run that was asked for", () => {
    expect(chosen({ bin: "b" }, { a: "a.js", b: "b.js", server: "s.js" })).toBe("b")
  })
  test("else the one that is named like the package, without its scope", () => {
    expect(chosen({ name: "@x/server" }, { a: "a.js", server: "s.js" })).toBe("server")
    expect(chosen({ type: "pypi", name: "Mcp_Server" }, { a: "a:a", "mcp-server": "s:s" })).toBe("mcp-server")
  })
  test("else the only one, also if it has several names", () => {
    expect(chosen({}, { other: "o.js" })).toBe("other")
    expect(chosen({}, { one: "same.js", two: "same.js" })).toBe("one")
  })
  test("else none, and their names are told, as many as can be read", () => {
    expect(chosen({}, { b: "b.js", a: "a.js" })).toBe("server has several programs. Set bin to one of: a, b.")
    const many = Object.fromEntries(Array.from({ length: 500 }, (_, at) => [`p${at}`, `${at}.js`]))
    expect(chosen({}, many).length).toBeLessThan(200)
  })
  test("one whose name could be a flag or a path does not count", () => {
    expect(chosen({}, { "../x": "a.js", "-x": "b.js", "x\n": "c.js", good: "d.js" })).toBe("good")
    expect(chosen({}, { "--x": "a.js" })).toContain("has no program")
  })
})

test("an install script is named only where one was left out", () => {
  const hint = "allowScripts: true"
  expect(chosen({}, {}, true)).toContain(hint)
  expect(chosen({}, {}, false)).not.toContain(hint)
  expect(chosen({ allowScripts: true }, {}, true)).not.toContain(hint)
})

test("a package.json declares programs as a text or by name, and anything else is none", () => {
  expect([...readBins('{"bin":"x.js"}', "@x/server")]).toEqual([["server", "x.js"]])
  expect([...readBins('{"bin":{"a":"x.js","b":7}}', "server")]).toEqual([["a", "x.js"]])
  for (const text of ["", "[]", "null", '{"bin":null}', '{"bin":["x"]}', '{"bin":7}', "{"])
    expect(readBins(text, "server").size).toBe(0)
})

test("a path stays in the package, or it does not", () => {
  for (const path of ["x.js", "./x.js", "a/../x.js", "a/b/c.mjs", "..x"]) expect(staysInside(path), path).toBe(true)
  for (const path of ["..", "../x", "a/../../x", "/etc/passwd", "a\\..\\..\\x", "x\0y"])
    expect(staysInside(path), path).toBe(false)
})

test("Node runs scripts for Node, and those that say nothing", () => {
  const own = [
    "#!/usr/bin/env node\n",
    "#!/usr/bin/env -S node --enable-source-maps\n",
    "import x",
    "",
    "#!/bin/sh\n':' //; exec node",
  ]
  for (const start of own) expect(foreignTo(start), start).toBeUndefined()
  expect(foreignTo("#!/usr/bin/env python3\n")).toBe("a script for /usr/bin/env python3")
  expect(foreignTo("#!/bin/bash\nexec x")).toBe("a script for /bin/bash")
  expect(foreignTo("\x7FELF\x02\x01")).toBe("compiled for a machine")
})

test("console scripts are those of their section, without extras, and nothing that is no name", () => {
  const text = `# a comment
[gui_scripts]
window = gui:main

[console_scripts]
one = package.module:main
two=package:Class.method [extra1,extra2]
; nothing = x:y
three = package
four = package:main; import os
five = __import__('os').system:x
[other]
six = x:y
`
  expect([...readConsoleScripts(text)]).toEqual([
    ["one", "package.module:main"],
    ["two", "package:Class.method"],
  ])
})
