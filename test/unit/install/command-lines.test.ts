import { expect, test } from "vitest"
import { npmConfiguration, secretsOf, uvCredentials } from "../../../src/install/credentials.ts"
import { environmentOf, hasProxy } from "../../../src/install/environment.ts"
import { dayAfter, npmArguments, withScripts } from "../../../src/install/npm.ts"
import { readRuntime } from "../../../src/install/runtime.ts"
import { uvArguments } from "../../../src/install/uv.ts"

const common = { version: "1.0.0", before: "2026-12-31", registry: "https://npm.example.com/a", allowScripts: false }

test("npm installs one package, to the end of a day, and what it installs comes behind --", () => {
  const args = npmArguments({ ...common, type: "npm", name: "@x/y" }, "/tree", "/scratch/npmrc")
  expect(args.slice(-2)).toEqual(["--", "@x/y@1.0.0"])
  expect(args).toEqual(
    expect.arrayContaining([
      "--prefix=/tree",
      "--ignore-scripts=true",
      "--omit=dev",
      "--registry=https://npm.example.com/a",
      "--before=2026-12-31T23:59:59.999Z",
      "--userconfig=/scratch/npmrc",
    ]),
  )
})

test("uv installs one package from wheels, to the end of a day, and what it installs comes behind --", () => {
  const order = { ...common, type: "pypi", name: "x", scratch: "/scratch" } as const
  const args = uvArguments(order, "/tree/site", "/bin/python3")
  expect(args.slice(-2)).toEqual(["--", "x==1.0.0"])
  expect(args).toEqual(
    expect.arrayContaining([
      "--target=/tree/site",
      "--python=/bin/python3",
      "--no-build",
      "--no-config",
      "--default-index=reflow=https://npm.example.com/a",
      "--exclude-newer=2027-01-01T00:00:00.000Z",
    ]),
  )
  expect(dayAfter("2028-02-28")).toBe("2028-02-29T00:00:00.000Z")
})

test("scripts and builds need permission", () => {
  const allowed = { ...common, allowScripts: true, scratch: undefined }
  expect(npmArguments({ ...allowed, type: "npm", name: "x" }, "/t", undefined)).toContain("--ignore-scripts=false")
  expect(uvArguments({ ...allowed, type: "pypi", name: "x" }, "/t", "/p")).not.toContain("--no-build")
})

test("on a machine of a user, npm and uv keep that user's configuration and registry", () => {
  const own = { version: "1.0.0", before: undefined, registry: undefined, allowScripts: false }
  const args = [
    ...npmArguments({ ...own, type: "npm", name: "x" }, "/t", undefined),
    ...uvArguments({ ...own, type: "pypi", name: "x", scratch: undefined }, "/t", "/p"),
  ]
  expect(args.filter((arg) => /registry|userconfig|no-config|index|before|newer/.test(arg))).toEqual([])
})

test("in a scratch folder only what leads to registries is inherited", () => {
  const own = {
    PATH: "/bin",
    HTTPS_PROXY: "http://p",
    https_proxy: "http://p",
    SSL_CERT_FILE: "/c",
    TOKEN: "x",
    HOME: "/h",
    npm_config_registry: "x",
    NODE_OPTIONS: "x",
    PYTHONPATH: "x",
    gone: undefined,
  }
  expect(environmentOf({ scratch: "/s" }, own)).toEqual({
    PATH: "/bin",
    HTTPS_PROXY: "http://p",
    https_proxy: "http://p",
    SSL_CERT_FILE: "/c",
    HOME: "/s/home",
    TMPDIR: "/s/tmp",
    npm_config_cache: "/s/npm",
    UV_CACHE_DIR: "/s/uv",
  })
  const { gone: _gone, ...all } = own
  expect(environmentOf({ scratch: undefined }, own)).toEqual(all)
  expect(hasProxy(all)).toBe(true)
  expect(hasProxy({ NO_PROXY: "*" })).toBe(false)
})

test("credentials stand in files and variables of the registry that they are for", () => {
  const token = { kind: "token", token: 'a"${HOME}' } as const
  const password = { kind: "password", username: "u", password: "p" } as const
  expect(npmConfiguration("https://npm.example.com:8443/a/b", token)).toBe(
    `//npm.example.com:8443/a/b/:_authToken="a\\"\\\\\${HOME}"\n`,
  )
  expect(npmConfiguration("http://npm.example.com/", password)).toBe(
    '//npm.example.com/:username="u"\n//npm.example.com/:_password="cA=="\n',
  )
  expect(npmConfiguration("http://npm.example.com/", undefined)).toBe("")
  expect(uvCredentials(token)).toEqual({ UV_INDEX_REFLOW_USERNAME: "__token__", UV_INDEX_REFLOW_PASSWORD: token.token })
  expect(uvCredentials(password)).toEqual({ UV_INDEX_REFLOW_USERNAME: "u", UV_INDEX_REFLOW_PASSWORD: "p" })
  expect(secretsOf(password)).toEqual(["p", "u:p"])
})

test("packages with install scripts are found wherever they are, and a broken list has none", () => {
  const packages = {
    "node_modules/a": { hasInstallScript: true },
    "node_modules/b": {},
    "node_modules/b/node_modules/@x/c": { hasInstallScript: true },
    "node_modules/d/node_modules/a": { hasInstallScript: true },
    "node_modules/e": null,
  }
  expect(withScripts(JSON.stringify({ packages }))).toEqual(["@x/c", "a"])
  for (const text of ["", "{", "null", "{}", '{"packages":7}']) expect(withScripts(text)).toEqual([])
})

test("an interpreter that says nothing sensible has no name", () => {
  expect(readRuntime('["linux","x64","node-147","/bin/node"]')).toEqual({
    name: "linux-x64-node-147",
    path: "/bin/node",
  })
  for (const answer of ["", "[]", "{}", '["../..","/bin/node"]', '["",""]', '["a b","/x"]', '[7,"/x"]'])
    expect(readRuntime(answer), answer).toBeUndefined()
})
