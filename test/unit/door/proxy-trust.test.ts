import type { IncomingMessage } from "node:http"
import { describe, expect, test } from "vitest"
import { clientOrigin, trustNetworks } from "../../../src/door/front-door.ts"

describe("the client's address", () => {
  const request = (remoteAddress: string, headers: Record<string, string> = {}) =>
    ({ socket: { remoteAddress }, headers: { host: "h", ...headers } }) as unknown as IncomingMessage
  const trusts = trustNetworks(["10.0.0.0/8", "fd00::/8", "192.0.2.7"])
  const forwarded = {
    "x-forwarded-for": "6.6.6.6, 7.7.7.7, 10.1.1.1",
    "x-forwarded-proto": "https",
    "x-forwarded-host": "pub",
  }

  test("is the connection's, unless that is a trusted proxy's", () => {
    expect(clientOrigin(request("8.8.8.8", forwarded), trusts)).toEqual({
      address: "8.8.8.8",
      host: "h",
      protocol: "http",
    })
    expect(clientOrigin(request("10.0.0.1"), trusts)).toMatchObject({ address: "10.0.0.1" })
  })

  test("is then the last one that no trusted proxy put there", () => {
    for (const proxy of ["10.0.0.1", "::ffff:10.0.0.1", "fd00::1", "192.0.2.7"]) {
      expect(clientOrigin(request(proxy, forwarded), trusts)).toEqual({
        address: "7.7.7.7",
        host: "pub",
        protocol: "https",
      })
    }
  })
})
