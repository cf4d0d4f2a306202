import fc from "fast-check"
import { describe, expect, test } from "vitest"
import {
  identityHeaders,
  isCorsRequestHeader,
  toClientHeaders,
  toRemoteHeaders,
  toUpstreamHeaders,
} from "../../../../src/gateway/wire/call-server.ts"
import type { Identity } from "../../../../src/identity/identity.ts"
import type { Mirrored } from "../../../../src/mcp/mirrored-headers.ts"

const origin = { address: "1.2.3.4", host: "mcp.example.com", protocol: "https" } as const
const ours = [
  ["accept-encoding", "identity"],
  ["x-forwarded-for", "1.2.3.4"],
  ["x-forwarded-host", "mcp.example.com"],
  ["x-forwarded-proto", "https"],
]
const pairs = (list: readonly string[]) => list.flatMap((name, at) => (at % 2 === 0 ? [[name, list[at + 1]]] : []))

describe("to the server", () => {
  test("go only the headers of the table, whatever else is there", () => {
    const headers = {
      accept: "a",
      authorization: "b",
      cookie: "c",
      "x-forwarded-for": "6.6.6.6",
      "x-real-ip": "d",
      te: "e",
    }
    expect(pairs(toUpstreamHeaders(headers, { session: undefined, origin }))).toEqual([...ours, ["accept", "a"]])
  })

  test("goes nothing that Connection names", () => {
    const headers = { connection: "close, MCP-Method", "mcp-method": "x", "mcp-name": "y" }
    const facts = { session: undefined, origin, mirrored: "message" } as const
    expect(pairs(toUpstreamHeaders(headers, facts))).toEqual([...ours, ["mcp-name", "y"]])
  })

  test("go headers that repeat the body only where they were compared with it", () => {
    const headers = { "mcp-method": "tools/call", "mcp-name": "a", "mcp-param-region": "eu" }
    const names = (mirrored?: Mirrored) =>
      pairs(toUpstreamHeaders(headers, { session: undefined, origin, ...(mirrored && { mirrored }) })).flatMap(
        ([name = ""]) => (name.startsWith("mcp-") ? [name] : []),
      )
    expect(names()).toEqual([])
    expect(names("none")).toEqual([])
    expect(names("method")).toEqual(["mcp-method"])
    expect(names("message")).toEqual(["mcp-method", "mcp-name"])
    expect(names("call")).toEqual(["mcp-method", "mcp-name", "mcp-param-region"])
  })

  test("goes the server's own session id, never the client's", () => {
    const list = pairs(toUpstreamHeaders({ "mcp-session-id": "sealed" }, { session: "own", origin }))
    expect(list.filter(([name]) => name === "mcp-session-id")).toEqual([["mcp-session-id", "own"]])
  })
})

test("to the client go only the headers of the table", () => {
  const headers = { "content-type": "a", "retry-after": "1", allow: "GET", "set-cookie": ["x"], server: "y", etag: "z" }
  expect(pairs(toClientHeaders(headers))).toEqual([
    ["content-type", "a"],
    ["retry-after", "1"],
    ["allow", "GET"],
  ])
})

test("a browser may send the protocol's headers and parameters, and no others", () => {
  for (const name of ["authorization", "mcp-session-id", "mcp-method", "mcp-name", "mcp-param-region"])
    expect(isCorsRequestHeader(name)).toBe(true)
  for (const name of ["x-user", "mcp-param-a b", "cookie"]) expect(isCorsRequestHeader(name)).toBe(false)
})

const identity: Identity = {
  source: "jwt",
  issuer: "corp",
  subject: "alice",
  email: "alice@example.com",
  groups: ["/eng", "a,b"],
  roles: [],
  scopes: [],
  claims: {},
}
const headersOf = (change: Partial<Identity> = {}): Record<string, string> => {
  const list = identityHeaders({ ...identity, ...change })
  return Object.fromEntries(list.flatMap((name, at) => (at % 2 === 0 ? [[name, list[at + 1] ?? ""]] : [])))
}

describe("the headers that tell a server who is calling", () => {
  test("name issuer and subject, mail address, groups and roles", () => {
    expect(headersOf()).toEqual({
      "x-reflow-issuer": "corp",
      "x-reflow-subject": "alice",
      "x-reflow-email": "alice@example.com",
      "x-reflow-groups": "/eng,a%2Cb",
      "x-reflow-roles": "",
    })
  })
  test("can be read back, whatever the names are, and never end a header or a list's entry", () => {
    const name = fc.string({ unit: "grapheme", maxLength: 40 }).filter((text) => text.isWellFormed() && text !== "")
    fc.assert(
      fc.property(name, fc.array(name, { maxLength: 5 }), (subject, groups) => {
        const headers = headersOf({ subject, groups })
        for (const value of Object.values(headers)) expect(value).toMatch(/^[\x21-\x7e]*$/)
        expect(decodeURIComponent(headers["x-reflow-subject"] ?? "")).toBe(subject)
        const read = (headers["x-reflow-groups"] ?? "").split(",").map(decodeURIComponent)
        expect(read).toEqual(groups.length === 0 ? [""] : groups)
      }),
    )
  })
  test("stay bounded, cut between two entries", () => {
    const groups = Array.from({ length: 2_000 }, (_, index) => `group-${index}`)
    const value = headersOf({ groups })["x-reflow-groups"] ?? ""
    expect(value.length).toBeLessThanOrEqual(4_096)
    expect(groups).toContain(value.split(",").at(-1))
  })
})

describe("to a remote server", () => {
  const loop = "reflow-abc"
  const own = { headers: ["authorization", "Bearer of-the-target", "user-agent", "ours/1"], loop }
  const facts = { session: undefined, accept: "application/json", mirrored: "call" } as const

  test("go the client's headers of MCP, and the target's instead of the client's", () => {
    const headers = {
      "content-type": "application/json",
      "mcp-protocol-version": "2025-11-25",
      "mcp-method": "tools/call",
      "user-agent": "client/1",
      accept: "*/*",
    }
    expect(pairs(toRemoteHeaders(headers, { ...facts, session: "s-1" }, own))).toEqual([
      ["accept-encoding", "identity"],
      ["cdn-loop", "reflow-abc"],
      ["authorization", "Bearer of-the-target"],
      ["user-agent", "ours/1"],
      ["accept", "application/json"],
      ["mcp-session-id", "s-1"],
      ["content-type", "application/json"],
      ["mcp-protocol-version", "2025-11-25"],
      ["mcp-method", "tools/call"],
    ])
  })

  test("goes nothing of who calls, from where, with which token", () => {
    const headers = {
      authorization: "Bearer of-the-gateway",
      cookie: "a=b",
      forwarded: "for=1.2.3.4",
      "x-forwarded-for": "1.2.3.4",
      "x-reflow-subject": "alice",
      "mcp-session-id": "sealed",
      baggage: "user=alice",
    }
    const sent = pairs(toRemoteHeaders(headers, facts, { headers: ["authorization", "Bearer of-the-target"], loop }))
    expect(sent).toEqual([
      ["accept-encoding", "identity"],
      ["cdn-loop", "reflow-abc"],
      ["authorization", "Bearer of-the-target"],
      ["accept", "application/json"],
    ])
  })

  test("goes a list of the targets that a request came through, and none twice", () => {
    const sent = (header: string) => pairs(toRemoteHeaders({ "cdn-loop": header }, facts, own))
    expect(sent("reflow-xyz, cdn.example; v=1")).toContainEqual([
      "cdn-loop",
      "reflow-xyz, cdn.example; v=1, reflow-abc",
    ])
    for (const header of ["reflow-abc", "other, reflow-abc", "reflow-abc,other"])
      expect(() => sent(header)).toThrow("remote.url leads back to this gateway.")
    expect(sent("reflow-abcd")).toContainEqual(["cdn-loop", "reflow-abcd, reflow-abc"])
  })
})
