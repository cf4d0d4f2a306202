import { describe, expect, it } from "vitest"
import type { MCPTargetStatus } from "../../../../src/api/kinds/mcp-target.ts"
import { targetStatus } from "../../../../src/operator/target.ts"
import type { ProbeResult } from "../../../../src/ports/remote-probe.ts"
import { anInstance } from "../../../support/build/instance.ts"
import { msAfter } from "../../../support/build/metadata.ts"
import { someSettings } from "../../../support/build/settings.ts"
import { aRemoteTarget, type TargetParts } from "../../../support/build/target.ts"

const statusOf = (parts: TargetParts, probed?: ProbeResult, instances = [anInstance()]): MCPTargetStatus =>
  targetStatus({ target: aRemoteTarget(parts), instances, settings: someSettings(), probed, now: msAfter(0) })

/** The condition Available after a probe. */
const available = (probed: ProbeResult | undefined, parts: TargetParts = {}) => statusOf(parts, probed).conditions?.[1]

const withRemote = (remote: object): TargetParts => ({
  spec: { remote: { url: "https://mcp.example.com/mcp", ...remote } },
})

describe("a remote target is accepted", () => {
  it("without anything that a Pod needs, and is told so", () => {
    const [accepted] = statusOf({}).conditions ?? []
    expect(accepted).toMatchObject({ status: "True", reason: "Accepted" })
    expect(accepted?.message).toBe("Requests can be sent to its server.")
  })

  it("unless a header has a name that it does not declare", () => {
    const headers = [{ name: "Authorization", value: "Bearer ${TOKEN}" }]
    const [accepted, judged] = statusOf(withRemote({ headers }), { kind: "answered", status: 200 }).conditions ?? []
    expect(accepted).toMatchObject({ status: "False", reason: "InvalidSpec" })
    expect(accepted?.message).toMatch(/^spec\.remote\.headers\[0\]\.value: \$\{TOKEN\} is none of the names/)
    expect(judged).toMatchObject({ status: "False", reason: "NotAccepted" })
  })
})

describe("a remote target is available", () => {
  it.each([200, 202, 400, 401, 403, 405, 406, 429])("if its server answers %d", (status) => {
    const message = "mcp.example.com can be reached."
    expect(available({ kind: "answered", status })).toMatchObject({ status: "True", reason: "Available", message })
  })

  it("with a hint if nothing is at the path", () => {
    expect(available({ kind: "answered", status: 404 })).toMatchObject({ status: "True", reason: "Available" })
    expect(available({ kind: "answered", status: 404 })?.message).toContain("check the path")
  })

  it("although its server has errors, in the same words for each of them", () => {
    const told = [500, 502, 503].map((status) => available({ kind: "answered", status }))
    expect(told[0]).toMatchObject({ status: "True", reason: "ServerError" })
    expect(new Set(told.map((each) => each?.message))).toHaveLength(1)
  })

  it("with a CA that only gateways know, as it is told", () => {
    const told = available({ kind: "answered", status: 401 }, withRemote({ caSecret: "corporate-ca" }))
    expect(told).toMatchObject({ status: "True", reason: "Available" })
    expect(told?.message).toContain("Gateways verify its certificate with ca.crt of the Secret corporate-ca")
  })

  it("if it redirects once to the same server, as gateways follow", () => {
    const redirected = (status: number, origin: string) => available({ kind: "redirected", status, origin })?.reason
    expect(redirected(307, "https://mcp.example.com")).toBe("Available")
    expect(redirected(308, "https://mcp.example.com")).toBe("Available")
    expect(redirected(302, "https://mcp.example.com")).toBe("Redirects")
    expect(redirected(307, "http://mcp.example.com")).toBe("Available")
    expect(redirected(307, "https://mcp.example.org")).toBe("Redirects")
    expect(redirected(308, "https://mcp.example.com:8443")).toBe("Redirects")
  })

  it("whatever the state of an instance that somebody made by hand", () => {
    const failed = [anInstance({ status: { phase: "Failed" } })]
    const status = statusOf({}, { kind: "answered", status: 200 }, failed)
    expect(status).toMatchObject({ instances: 1, failed: 1, conditions: [{}, { reason: "Available" }] })
  })
})

describe("a remote target is not available", () => {
  it("while it is paused", () => {
    const paused = statusOf({ spec: { paused: true } }, { kind: "answered", status: 200 })
    expect(paused.conditions?.[1]).toMatchObject({ status: "False", reason: "Paused" })
  })

  it.each<[string, ProbeResult, string, RegExp]>([
    [
      "of a closed address",
      { kind: "closed", detail: "10.0.0.1 is private." },
      "AddressNotAllowed",
      /^10\.0\.0\.1 is private/,
    ],
    [
      "whose certificate has expired",
      { kind: "certificate", fault: "Expired" },
      "CertificateInvalid",
      /it has expired/,
    ],
    ["that is gone", { kind: "unreachable", cause: "ConnectionRefused" }, "Unreachable", /^mcp\.example\.com cannot/],
    [
      "that has moved",
      { kind: "redirected", status: 301, origin: "https://new.example.com" },
      "Redirects",
      /redirects to https:\/\/new\.example\.com, /,
    ],
    ["that has moved to no URL", { kind: "redirected", status: 301, origin: undefined }, "Redirects", /no http URL/],
  ])("if its server is one %s", (_, result, reason, message) => {
    expect(available(result)).toMatchObject({ status: "False", reason, message: expect.stringMatching(message) })
  })

  it("in words that a server cannot choose: no control characters, and no long text", () => {
    const message = available({
      kind: "redirected",
      status: 301,
      origin: `https://a\u202e\n${"b".repeat(9_000)}`,
    })?.message
    expect(message).not.toMatch(/[\n\u202e]/)
    expect(message?.length).toBeLessThan(400)
  })
})

describe("before the first probe", () => {
  it("it is not known whether a remote target is available", () => {
    expect(available(undefined)).toMatchObject({ status: "Unknown", reason: "NotProbed" })
  })

  it("what an earlier operator found of the same generation stays, for no status may turn at a new leader", () => {
    const status = statusOf({}, { kind: "unreachable", cause: "NameUnknown" })
    expect(statusOf({ status })).toEqual(status)
    const changed = statusOf({ status, metadata: { generation: 2 } }).conditions?.[1]
    expect(changed).toMatchObject({ status: "Unknown", reason: "NotProbed" })
  })

  it("a former pause does not stay", () => {
    const status = statusOf({ spec: { paused: true } })
    expect(statusOf({ status }).conditions?.[1]).toMatchObject({ reason: "NotProbed" })
  })
})
