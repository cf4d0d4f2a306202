import { describe, expect, test } from "vitest"
import { explain, explainLate, isIncomplete, tellingLines } from "../../../src/install/explain.ts"
import { explainFileError } from "../../../src/install/tree.ts"

const order = {
  version: "1.0.0",
  before: "2026-03-01",
  registry: "https://r.example.com/a",
  hasCredentials: true,
  timeoutMs: 90_000,
}
const npm = { ...order, type: "npm", name: "x" } as const
const uv = { ...order, type: "pypi", name: "x" } as const

/** Faults that the tests with a real npm cannot have, in npm's own words. */
const ofNpm: readonly (readonly [string, readonly string[], string])[] = [
  [
    "a full disk",
    ["npm error code ENOSPC", "npm error nospc ENOSPC: no space left on device, write"],
    "The disk is full",
  ],
  [
    "a certificate",
    ["npm error code SELF_SIGNED_CERT_IN_CHAIN", "npm error self-signed certificate"],
    "is not trusted",
  ],
  ["another certificate", ["npm error code UNABLE_TO_VERIFY_LEAF_SIGNATURE"], "is not trusted"],
  [
    "a name",
    ["npm error code ENOTFOUND", "npm error network request to https://r.example.com/x failed"],
    "The connection to",
  ],
  ["a timeout", ["npm error code ETIMEDOUT"], "The connection to the registry r.example.com failed"],
  ["an idle socket", ["npm error code ERR_SOCKET_TIMEOUT"], "The connection to"],
  ["a busy registry", ["npm error code E429"], "answers with errors"],
  ["a page in place of JSON", ["npm error code EJSONPARSE"], "answers with errors"],
  ["an engine", ["npm error code EBADENGINE"], "is not for the Node of this image"],
  ["peers", ["npm error code ERESOLVE", "npm error ERESOLVE unable to resolve dependency tree"], "do not fit together"],
  ["rights", ["npm error code EACCES", "npm error syscall mkdir"], "may not write"],
  [
    "a version",
    ["npm error code ETARGET", "npm error notarget No matching version found for y@^2.0.0."],
    "There is no y@^2.0.0 in the registry r.example.com, and x@1.0.0 needs it.",
  ],
  [
    "a date",
    [
      "npm error code ETARGET",
      "npm error notarget No matching version found for x@1.0.0 with a date before 3/1/2026, 11:59:59 PM.",
    ],
    "x@1.0.0 is not in the registry r.example.com with a date of 2026-03-01 or earlier",
  ],
]

test.for(ofNpm)("npm's words for %s are understood", ([, lines, problem]) => {
  expect(explain(npm, lines, 1)).toContain(problem)
})

test.for([
  ["a full disk", "  cause: No space left on device (os error 28)", "The disk is full"],
  ["a certificate", "  cause: invalid peer certificate: UnknownIssuer", "is not trusted"],
  ["a broken archive", "error: Failed to extract archive: x.whl", "has other content"],
  ["a timeout", "  cause: operation timed out", "The connection to the registry"],
  ["rights", "error: failed to create directory: Permission denied (os error 13)", "may not write"],
])("uv's words for %s are understood", ([, line = "", problem = ""]) => {
  expect(explain(uv, ["error: Failed", line], 1)).toContain(problem)
})

test("what nobody has seen before is told by exit code and the last lines", () => {
  expect(explain(npm, ["npm error strange"], 7)).toBe(
    "npm failed with exit code 7 for x@1.0.0. Its last lines say why.",
  )
})

test.for([null, 137])("a package manager that was killed (code %j) lacked memory", (code) => {
  expect(explain(uv, ["npm error code E404"], code)).toContain("memory limit")
})

test("a registry that is not named is not guessed", () => {
  expect(explain({ ...npm, registry: undefined }, ["npm error code E500"], 1)).toContain("because the registry answers")
})

test("hostile output makes no long problem, and takes linear time", () => {
  const lines = Array.from({ length: 200 }, () => `No matching version found for ${"x".repeat(900)}`)
  const started = performance.now()
  expect(explain(npm, lines, 1).length).toBeLessThan(600)
  expect(performance.now() - started).toBeLessThan(1_000)
})

test("npm's warning of a file that it could not write makes the tree incomplete", () => {
  expect(isIncomplete(["npm warn tar TAR_ENTRY_ERROR ENOSPC: no space left on device, write"])).toBe(true)
  expect(isIncomplete(["npm warn deprecated x@1.0.0: TAR_ENTRY_ERROR ENOSPC"])).toBe(false)
})

test("lines that help nobody are not reported", () => {
  expect(tellingLines(["npm notice new version", "npm error 404", "npm error code E404"])).toEqual([
    "npm error code E404",
  ])
})

test("the limit of time is told", () => {
  expect(explainLate(npm)).toContain("x@1.0.0 was not installed within 1m30s.")
})

describe("an error of the file system", () => {
  const error = (code: string) => Object.assign(new Error(`${code}: something, mkdir '/tree'`), { code })
  test("says what to do", () => {
    expect(explainFileError(error("ENOSPC"))).toContain("The disk is full")
    expect(explainFileError(error("EROFS"))).toContain("cannot be written: EROFS: something, mkdir '/tree'")
    expect(explainFileError(error("EIO"))).toBe("The file system refuses: EIO: something, mkdir '/tree'.")
  })
  test("is not taken for one that is a bug", () => {
    expect(explainFileError(new TypeError("x is undefined"))).toBeUndefined()
  })
})
