import { describe, expect, test } from "vitest"
import { isCorsRequestHeader, toClientHeaders, toUpstreamHeaders } from "../../../../src/gateway/wire/call-server.ts"
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
    expect(pairs(toUpstreamHeaders(headers, { session: undefined, origin }))).toEqual([["accept", "a"], ...ours])
  })

  test("goes nothing that Connection names", () => {
    const headers = { connection: "close, MCP-Method", "mcp-method": "x", "mcp-name": "y" }
    const facts = { session: undefined, origin, mirrored: "message" } as const
    expect(pairs(toUpstreamHeaders(headers, facts))).toEqual([["mcp-name", "y"], ...ours])
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
