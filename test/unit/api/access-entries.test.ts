import { expect, test } from "vitest"
import { idleEntries } from "../../../src/api/access-entries.ts"

const idle = (access: Parameters<typeof idleEntries>[0], ...issuers: string[]) =>
  idleEntries(access, issuers).map(({ path, message }) => `${path.join("/")}: ${message}`)

test("a bare entry can match somebody while one issuer is configured, whatever slashes it has", () => {
  expect(idle({ users: ["alice"], groups: ["eng", "/acme/eng"], roles: ["dev"] }, "corp")).toEqual([])
  expect(idle(undefined, "corp", "partner")).toEqual([])
})

test("a bare entry matches nobody while there are several issuers: the sentence says what to write", () => {
  expect(idle({ groups: ["corp/eng", "eng"] }, "corp", "partner")).toEqual([
    "access/groups/1: access.groups: 'eng' names none of the issuers corp, partner; with several issuers each entry must name one: write corp/eng, or another issuer before the slash.",
  ])
})

test("an issuer that is not configured, one without a name behind it, and no issuer at all match nobody", () => {
  expect(idle({ users: ["crop/alice"] }, "corp", "partner")).toHaveLength(1)
  expect(idle({ roles: ["corp/"] }, "corp")).toEqual([
    "access/roles/0: access.roles: 'corp/' has no name after 'corp/'.",
  ])
  expect(idle({ users: ["alice"] })).toEqual([
    "access/users/0: access.users: 'alice' can match nobody: no issuer is configured.",
  ])
})

test("an entry is repeated in part and without control characters", () => {
  const [text = ""] = idle({ groups: [`a\u001b[31m\n${"x".repeat(1_000)}`] }, "corp", "partner")
  expect(text).not.toMatch(/\p{Cc}/u)
  expect(text.length).toBeLessThan(400)
})
