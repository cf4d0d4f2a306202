import { expect, test } from "vitest"
import { findRemoteFaults } from "../../../src/api/remote-declarations.ts"

const url = "https://mcp.example.com/mcp"

test("each name in a header must be that of a credential or of a secret", () => {
  const headers = [
    { name: "Authorization", value: "Bearer ${TOKEN}" },
    { name: "X-Team", value: "${TEAM}/${OTHER}/$${NO}" },
  ]
  const declared = { credentials: [{ name: "TOKEN" }], secrets: [{ name: "TEAM", from: "vault:team" }] }
  expect(findRemoteFaults({ remote: { url, headers }, ...declared })).toEqual([
    { path: "remote.headers[1].value", rule: "undeclared", message: expect.stringMatching(/^\$\{OTHER\} is none of/) },
  ])
})

test.each(["https://mcp.example.com:99999/mcp", "https://[::1/mcp", "http://:8080/"])("%s is no URL", (bad) => {
  expect(findRemoteFaults({ remote: { url: bad } })).toMatchObject([{ path: "remote.url", rule: "url" }])
})

test("a target that runs in the cluster has no such faults", () => {
  expect(findRemoteFaults({ credentials: [{ name: "TOKEN" }] })).toEqual([])
})
