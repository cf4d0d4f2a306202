import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { createInterface } from "node:readline"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { connectV2 } from "../support/mcp-peers.ts"
import { authorizeAndList, oauthLibraries } from "../support/oauth-client.ts"
import { type OpenIdProvider, startOpenIdProvider } from "../support/openid-provider.ts"
import { type Reflow, repositoryFile, startReflow, target } from "../support/reflow.ts"

const dual = (name: string, more: object = {}) =>
  target(name, ["node", repositoryFile("test/fixtures/servers/dual.mjs")], { ...more })

let corp: OpenIdProvider
let partner: OpenIdProvider
let reflow: Reflow

/** A static token whose subject is that of users of both issuers. */
const staticToken = "static-token-of-alice-for-tests-only"
const robot = {
  name: "robot",
  sha256: createHash("sha256").update(staticToken).digest("hex"),
  subject: "alice",
  for: ["mcp"],
}

beforeAll(async () => {
  ;[corp, partner] = await Promise.all([startOpenIdProvider(), startOpenIdProvider()])
  const issuers = [
    { name: "corp", issuer: corp.issuer },
    { name: "partner", issuer: partner.issuer, mcp_tokens_open_api: true, claims: { roles: "scope" } },
  ]
  reflow = await startReflow({
    targets: dual("dual") + dual("other") + dual("keyed", { credentials: [{ name: "TOKEN" }] }),
    set: {
      "auth.issuers": JSON.stringify(issuers),
      "auth.tokens": JSON.stringify([robot]),
      "auth.admin_roles": '["admin", "partner/mcp"]',
    },
  })
})
afterAll(async () => {
  await Promise.all([reflow?.stop(), corp?.stop(), partner?.stop()])
})

/** What a target's server says of its process to the bearer of a token; the HTTP status if the gateway refuses. */
const pidFor = async (token: string, name = "dual"): Promise<string | number> => {
  try {
    const peer = await connectV2("auto", resourceOf(name), token)
    const { text } = await peer.call("pid")
    await peer.close()
    return text
  } catch {
    return (await post(token, name)).status
  }
}

const post = (token: string, name = "dual"): Promise<Response> =>
  fetch(resourceOf(name), {
    method: "POST",
    headers: {
      authorization: `Bearer ${token}`,
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
    },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "ping" }),
  })

/** The address that the metadata gives for a target's tokens. */
const resourceOf = (name: string) => `${reflow.url}/mcp/${name}`

describe("an MCP client without a token", () => {
  test("is told where it learns who issues tokens", async () => {
    const response = await fetch(resourceOf("dual"), { method: "POST" })
    expect(response.status).toBe(401)
    const challenge = response.headers.get("www-authenticate") ?? ""
    const url = /resource_metadata="([^"]+)"/.exec(challenge)?.[1] ?? ""
    const metadata = await fetch(url)
    expect(metadata.status).toBe(200)
    expect(await metadata.json()).toMatchObject({
      resource: resourceOf("dual"),
      authorization_servers: [corp.issuer, partner.issuer],
    })
  })
  test.each(oauthLibraries)(
    "%s finds the provider, registers, sends its user there and lists the tools",
    async (library) => {
      const { tools } = await authorizeAndList(library, resourceOf("dual"), (url) => corp.authorize(url, "alice"))
      expect(tools).toContain("pid")
    },
  )
})

describe("a person without an MCP client", () => {
  test("gets a token for the REST API by the commands of docs/identity.md, which sets the credentials", async () => {
    const page = readFileSync(repositoryFile("docs/identity.md"), "utf8")
    const blockOf = (name: string): string =>
      new RegExp(`<!-- device flow: ${name} -->\n\`\`\`sh\n([\\s\\S]*?)\`\`\``).exec(page)?.[1] ?? "exit 9"
    const client = await corp.registerDevice()
    const ask = blockOf("ask")
      .replace(/^ISSUER=.*$/m, `ISSUER=${corp.issuer}`)
      .replace(/^CLIENT=.*$/m, `CLIENT=${client}`)
      .replace(/^URL=.*$/m, `URL=${reflow.url}`)
    const shell = spawn("sh", ["-e"], { stdio: ["pipe", "pipe", "inherit"] })
    const lines = createInterface(shell.stdout)[Symbol.asyncIterator]()
    shell.stdin.write(ask)
    const { value: url } = await lines.next()
    await corp.approve(new URL(url ?? ""), "gina")
    shell.stdin.end(`${blockOf("fetch")}\necho $TOKEN\n`)
    const { value: whoami } = await lines.next()
    expect(JSON.parse(whoami ?? "")).toMatchObject({ identity: { issuer: "corp", subject: "gina", admin: false } })
    const rest: string[] = []
    for (let line = await lines.next(); line.done !== true; line = await lines.next()) rest.push(line.value)
    const values = { TOKEN: "of-gina" }
    const put = await reflow.api("PUT", "/api/targets/keyed/env/me", values, rest.at(-1))
    expect(put).toMatchObject({ status: 200, body: { who: "corp/gina" } })
  })
})

describe("a token of a provider", () => {
  test("opens a server of its user's own: equal subjects of two issuers and of a static token are three users", async () => {
    const tokens = [
      await corp.token(resourceOf("dual"), "alice"),
      await partner.token(resourceOf("dual"), "alice"),
      staticToken,
    ]
    const pids = await Promise.all(tokens.map((token) => pidFor(token)))
    expect(pids).toEqual([expect.any(String), expect.any(String), expect.any(String)])
    expect(new Set(pids).size).toBe(3)
    const again = await pidFor(await corp.token(resourceOf("dual"), "alice"))
    expect(again).toBe(pids[0])
  })
  test("for one target opens no other one, whether it was used before or not", async () => {
    const token = await corp.token(resourceOf("dual"), "carol")
    expect((await post(token, "other")).status).toBe(401)
    expect(await pidFor(token)).toEqual(expect.any(String))
    const refused = await post(token, "other")
    expect(refused.status).toBe(401)
    expect(refused.headers.get("www-authenticate")).toContain('error="invalid_token"')
  })
  test("for MCP endpoints does not open the REST API, and the other way round", async () => {
    const api = await corp.token(`${reflow.url}/api`, "dave")
    for (const audience of [reflow.url, resourceOf("dual")]) {
      const editor = await corp.token(audience, "dave")
      expect(await pidFor(editor)).toEqual(expect.any(String))
      for (const path of ["/api/whoami", "/api/targets", "/api/targets/dual", "/api/instances", "/api/openapi.json"])
        expect((await reflow.api("GET", path, undefined, editor)).status, path).toBe(401)
    }
    expect(await reflow.api("GET", "/api/whoami", undefined, api)).toMatchObject({
      status: 200,
      body: { identity: { issuer: "corp", subject: "dave" } },
    })
    expect((await post(api)).status).toBe(401)
  })
  test("for MCP endpoints opens the caller's own things in the REST API where that is configured, and nothing more", async () => {
    const editor = await partner.token(reflow.url, "frank")
    expect(await pidFor(editor)).toEqual(expect.any(String))
    // the role is one of an administrator, see admin_roles
    const whoami = await reflow.api("GET", "/api/whoami", undefined, editor)
    expect(whoami).toMatchObject({
      status: 200,
      body: { identity: { subject: "frank", roles: ["mcp"], admin: false } },
    })
    const values = { TOKEN: "of-frank" }
    expect(await reflow.api("PUT", "/api/targets/keyed/env/me", values, editor)).toMatchObject({ status: 200 })
    for (const path of ["default", "user/partner/frank"])
      expect((await reflow.api("PUT", `/api/targets/keyed/env/${path}`, values, editor)).status, path).toBe(403)
    expect((await reflow.api("DELETE", "/api/targets/keyed", undefined, editor)).status).toBe(403)
    const forOne = await partner.token(resourceOf("keyed"), "frank")
    expect((await reflow.api("GET", "/api/whoami", undefined, forOne)).status).toBe(401)
    const administers = await partner.token(`${reflow.url}/api`, "frank")
    expect((await reflow.api("GET", "/api/targets/keyed/env/default", undefined, administers)).status).toBe(200)
  })
  test("is in no line of the log", async () => {
    const token = await corp.token(resourceOf("dual"), "erin")
    await pidFor(token)
    await pidFor(`${token.slice(0, -8)}AAAAAAAA`)
    await expect.poll(() => reflow.output()).toContain('"status":401')
    for (const part of token.split(".")) expect(reflow.output()).not.toContain(part)
  })
})
