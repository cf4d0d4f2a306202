/** The resolvers that come with the program and need no server of their own. */
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { builtinHost, failureOf, resolved } from "../../support/builtin-host.ts"

describe("secrets from Kubernetes", () => {
  const readSecret = async (name: string, key: string) => (key === "token" ? `${name}-value` : undefined)
  test("are a key of a Secret that the configuration allows", async () => {
    const host = await builtinHost("kubernetes", {}, { readSecret }, ["team"])
    expect(await resolved(host, "kubernetes:team/token")).toEqual({ value: "team-value" })
    expect(await failureOf(() => resolved(host, "kubernetes:other/token"))).toContain("may not read the Secret 'other'")
    expect(await failureOf(() => resolved(host, "kubernetes:team/missing"))).toContain(
      "there is no key missing in the Secret team",
    )
    expect(await failureOf(() => resolved(host, "kubernetes:team"))).toContain("must be NAME/KEY")
  })
})

describe("secrets from the environment", () => {
  test("are the variables that the configuration allows", async () => {
    const host = await builtinHost("env", { allow: ["PATH", "NO_SUCH_VARIABLE"] })
    expect((await resolved(host, "env:PATH")).value).not.toBe("")
    expect(await failureOf(() => resolved(host, "env:HOME"))).toContain("not in the plugin's list")
    expect(await failureOf(() => resolved(host, "env:NO_SUCH_VARIABLE"))).toContain("is not set")
  })
})

describe("secrets from files", () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "reflow-file-"))
    await writeFile(join(folder, "token"), "value\n")
    await writeFile(join(folder, "large"), "x".repeat(64 * 1024 + 1))
    await symlink("/etc/hostname", join(folder, "outside"))
  })
  afterAll(async () => {
    await rm(folder, { recursive: true })
  })
  test("are files of the folder, without the line break at their end", async () => {
    expect(await resolved(await builtinHost("file", { folder }), "file:token")).toEqual({ value: "value" })
  })
  test.each([
    ["../../../etc/hostname", "not in the folder"],
    ["/etc/hostname", "not in the folder"],
    ["outside", "not in the folder"],
    [".", "not in the folder"],
    ["large", "larger than"],
    ["missing", "ENOENT"],
  ])("are not %s", async (reference, told) => {
    expect(await failureOf(async () => resolved(await builtinHost("file", { folder }), `file:${reference}`))).toContain(
      told,
    )
  })
  test("are none without a folder", async () => {
    expect(await failureOf(async () => resolved(await builtinHost("file"), "file:token"))).toContain("names no folder")
  })
})
