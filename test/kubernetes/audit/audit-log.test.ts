/**
 * What the API server has logged of the roles in this run: reads what the files before it have made them do, so it is a
 * project of its own that runs last (vitest.config.ts).
 */
import { describe, expect, inject, test } from "vitest"
import { grants } from "../../../src/adapters/kube/access.ts"
import { needlesOf } from "../../support/canary.ts"
import { type AuditEntry, callerOf, deniedCalls, readEntries, unusedRights } from "../support/audit.ts"
import { cluster } from "../support/cluster.ts"

const { auditLog } = cluster
/** Set by `npm run test:kubernetes` when it runs all files: single ones do not use every right. */
const isWhole = process.env.REFLOW_TEST_WHOLE === "1"

if (auditLog === undefined)
  console.warn("!!! this cluster keeps no audit log that we can read: rights are not audited !!!")

/** Calls of the roles, and what gives or takes rights. */
const holding = [
  "system:serviceaccount:",
  ...["namespaces", "roles", "rolebindings"].map((each) => `"resource":"${each}"`),
]
const entries: readonly AuditEntry[] =
  auditLog === undefined ? [] : await readEntries(auditLog, { from: inject("startedAt"), holding })

test.runIf((process.env.CI ?? "") !== "")(
  "this cluster keeps an audit log: CI must not pass over what it tells",
  () => {
    expect(auditLog).toBeDefined()
    // a log that is not written to tells nothing
    expect(entries).not.toEqual([])
  },
)

describe.skipIf(auditLog === undefined)("the API server's audit log", () => {
  test("shows no call of the program that was denied", () => {
    expect(deniedCalls(entries)).toEqual([])
  })

  test("holds no value that a test gave as a credential, in whatever form", async () => {
    const [plain = "", ...encoded] = needlesOf("canary")
    const found = await readEntries(auditLog ?? "", { from: inject("startedAt"), holding: [plain, ...encoded] })
    // names have the bare word; every value goes on with «-of-», a random number, or after a space
    const isValue = (text: string): boolean =>
      /canary(-of-|-[0-9a-f]{24}|[ +]|%20)/.test(text) || encoded.some((needle) => text.includes(needle))
    const leaks = found.map((entry) => JSON.stringify(entry)).filter(isValue)
    expect(leaks).toEqual([])
  })

  test.runIf(isWhole)("shows that each right of the table has been used, but for the table's exceptions", () => {
    expect(unusedRights(entries, grants)).toEqual([])
  })

  test.runIf(isWhole)("has calls of the Pods that rbac/ and manager/ install", () => {
    const installed = entries.filter((entry) => callerOf(entry)?.own === "reflow-system")
    expect(new Set(installed.map((entry) => callerOf(entry)?.actor))).toEqual(new Set(["operator", "gateway"]))
  })
})
