import { describe, expect, test } from "vitest"
import { z } from "zod"
import {
  type Package,
  packageFields,
  packageRules,
  packageText,
  registryUrlPattern,
} from "../../../src/api/kinds/package.ts"

const schema = z.object({ package: packageFields.package })

/** What is wrong with a package, by the schema and by the rules that a schema cannot express. */
const faultsOf = (fields: object): readonly string[] => {
  const spec = { package: { registryType: "npm", identifier: "notes", version: "1.2.3", ...fields } }
  const parsed = schema.safeParse(spec)
  if (!parsed.success) return [...new Set(parsed.error.issues.map(({ path }) => path.join(".")))]
  return packageRules
    .filter(({ path, holds }) => path === "spec.package" && !holds(parsed.data.package as Package, undefined))
    .map(({ field }) => `package.${field}`)
}

/** Texts that would mean something else to a shell, a package manager or a file system. */
const tricks = [
  "--registry=https://evil.example.com",
  "-g",
  "notes;id",
  "$(id)",
  "`id`",
  "notes|id",
  "notes id",
  "notes\nid",
  "../notes",
  "./notes",
  "/etc/passwd",
  "file:notes",
  "git+https://example.com/notes.git",
  "https://example.com/notes.tgz",
  "github:example/notes",
  "example/notes",
  "notes@npm:other",
  "notes[extra]",
  "notes\0",
  "nötes",
  "",
]

describe("the name of a package", () => {
  test.each(["notes", "@example/notes", "server-everything", "a.b_c-d", "0x"])("may be %s in npm", (identifier) => {
    expect(faultsOf({ identifier })).toEqual([])
  })
  test.each(["mcp-server-time", "Flask", "zope.interface", "a_b"])("may be %s in the Python index", (identifier) => {
    expect(faultsOf({ registryType: "pypi", identifier })).toEqual([])
  })
  test.each([...tricks, "notes@1.2.3", "Notes", "_notes", ".notes", "@example/", "@/notes", "a".repeat(215)])(
    "is not %j in npm",
    (identifier) => {
      expect(faultsOf({ identifier })).toEqual(["package.identifier"])
    },
  )
  test.each([...tricks, "notes==1.2.3", "notes>=1", "@example/notes", "notes-", "-notes", "notes @ https://x"])(
    "is not %j in the Python index",
    (identifier) => {
      expect(faultsOf({ registryType: "pypi", identifier })).toEqual(["package.identifier"])
    },
  )
})

describe("the version of a package", () => {
  test.each(["1.2.3", "0.0.0-rc.1", "2026.8.31"])("may be %s in npm", (version) => {
    expect(faultsOf({ version })).toEqual([])
  })
  test.each(["1.2.3", "2026.8.31", "1", "1!2.0", "1.0rc1", "1.0.post1", "1.0.dev3", "1.0+local.1"])(
    "may be %s in the Python index",
    (version) => {
      expect(faultsOf({ registryType: "pypi", version })).toEqual([])
    },
  )
  const ranges = ["latest", "^1.2.3", "~1.2.3", ">=1.2.3", "1.x", "*", "1.2.3 || 2.0.0", "1.2.3 - 2.0.0", "v1.2.3"]
  test.each([...tricks, ...ranges, "1.2"])("is not %j in npm", (version) => {
    expect(faultsOf({ version })).toEqual(["package.version"])
  })
  test.each([...tricks, ...ranges, "==1.2", "1.2.*"])("is not %j in the Python index", (version) => {
    expect(faultsOf({ registryType: "pypi", version })).toEqual(["package.version"])
  })
})

test.each([
  "https://npm.example.com",
  "http://npm.svc:4873/",
  "https://pypi.example.com/simple",
  "http://10.0.0.1:80/a/b",
])("a registry may be %s", (url) => {
  expect(faultsOf({ registryBaseUrl: url })).toEqual([])
})

test.each([
  "https://user:password@npm.example.com",
  "https://npm.example.com?token=x",
  "https://npm.example.com#x",
  "ftp://npm.example.com",
  "npm.example.com",
  "https://",
  "https://npm.example.com/a b",
  "https://npm.example.com/$(id)",
  "https://npm.example.com/\n",
  " https://npm.example.com",
])("a registry is not %j", (url) => {
  expect(registryUrlPattern.test(url)).toBe(false)
})

test.each(["2026-13-01", "2026-1-1", "today", "2026-01-01T00:00:00Z", "--before"])("a day is not %j", (before) => {
  expect(faultsOf({ before })).toEqual(["package.before"])
})

test.each(["../x", "-x", "a/b", "a b", "$(x)", ""])("a program is not %j", (bin) => {
  expect(faultsOf({ bin })).toEqual(["package.bin"])
})

test("a package is shown as its registry's people write it", () => {
  expect(packageText({ registryType: "npm", identifier: "@a/b", version: "1.0.0" })).toBe("npm @a/b@1.0.0")
  expect(packageText({ registryType: "pypi", identifier: "b", version: "1.0" })).toBe("pypi b==1.0")
})
