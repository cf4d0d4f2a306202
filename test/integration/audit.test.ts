/** `npm run test:audit` against a registry of loopback: what it fails for, and for what not. */
import { execFile } from "node:child_process"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { expect, test } from "vitest"
import manifest from "../../package.json" with { type: "json" }
import { repositoryFile } from "../support/reflow.ts"

const advisory = (name: string) => ({
  [name]: [{ id: 1, url: "https://advisories.test/1", title: "bad", severity: "high", vulnerable_versions: "*" }],
})

/** Runs the audit; the registry answers with `status` and `advisories`, and knows of no package more than that. */
const audit = async (status: number, advisories: object): Promise<{ code: number | null; stdout: string }> => {
  const registry = createServer((request, response) => {
    const isAsked = request.method === "POST" && request.url?.endsWith("/advisories/bulk") === true
    request.resume()
    response.writeHead(isAsked ? status : 404, { "content-type": "application/json" })
    response.end(JSON.stringify(isAsked ? advisories : {}))
  })
  await new Promise<void>((done) => registry.listen(0, "127.0.0.1", done))
  const { port } = registry.address() as AddressInfo
  const env = { ...process.env, npm_config_registry: `http://127.0.0.1:${port}` }
  try {
    return await new Promise((done) => {
      const child = execFile(process.execPath, [repositoryFile("test/audit.ts")], { env }, (_error, stdout) =>
        done({ code: child.exitCode, stdout }),
      )
    })
  } finally {
    registry.closeAllConnections()
    registry.close()
  }
}

test("a vulnerability of a library in the program is a failure, and named", async () => {
  const { code, stdout } = await audit(200, advisory("undici"))
  expect(stdout).toMatch(/^undici .*: high\n0 passed, 1 failed\n$/)
  expect(code).toBe(1)
}, 60_000)

test("one of a tool that does not ship is none", async () => {
  expect(Object.keys(manifest.devDependencies)).toContain("vitest")
  expect(await audit(200, advisory("vitest"))).toEqual({ code: 0, stdout: "1 passed, 0 failed\n" })
}, 60_000)

test("a registry that gives no answer is neither", async () => {
  expect(await audit(405, {})).toEqual({ code: 0, stdout: "0 passed, 0 failed\n" })
}, 60_000)
