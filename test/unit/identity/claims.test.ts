import { describe, expect, test } from "vitest"
import { scopeSecretName } from "../../../src/api/names.ts"
import { type ClaimPaths, claimAt, identityOf } from "../../../src/identity/claims.ts"
import { subjectDigest } from "../../../src/identity/subject-key.ts"

const standard: ClaimPaths = { subject: "sub", email: "email", groups: "groups", roles: "roles" }

type Shape = {
  readonly paths?: Partial<ClaimPaths>
  readonly claims: Readonly<Record<string, unknown>>
  readonly expected: Readonly<Record<string, unknown>>
}

/** Tokens as these products issue them, by their documentation. */
const shapes: Readonly<Record<string, Shape>> = {
  "Keycloak: roles of the realm in a nested claim, groups with a slash": {
    paths: { roles: "realm_access.roles" },
    claims: {
      sub: "f:1:alice",
      email: "alice@example.com",
      email_verified: true,
      realm_access: { roles: ["admin", "offline_access"] },
      groups: ["/eng", "/eng/platform"],
      scope: "openid email",
    },
    expected: {
      subject: "f:1:alice",
      email: "alice@example.com",
      roles: ["admin", "offline_access"],
      groups: ["/eng", "/eng/platform"],
      scopes: ["openid", "email"],
    },
  },
  "Keycloak: roles of a client whose name is a URL": {
    paths: { roles: ["resource_access", "https://mcp.example.com", "roles"], groups: ["a.b"] },
    claims: {
      sub: "alice",
      resource_access: {
        "https://mcp.example.com": { roles: ["writer"] },
        "https://mcp": { "example.com": ["other"] },
      },
      "a.b": ["eng"],
      a: { b: ["other"] },
    },
    expected: { subject: "alice", roles: ["writer"], groups: ["eng"] },
  },
  "Microsoft Entra: the object id as subject, scopes in scp as one text": {
    paths: { subject: "oid", email: "preferred_username" },
    claims: {
      sub: "pairwise",
      oid: "00000000-0000-0000-0000-000000000001",
      preferred_username: "alice@example.com",
      groups: ["6f1e", "7a2b"],
      roles: ["Task.Admin"],
      scp: "Mcp.Read Mcp.Write",
    },
    expected: {
      subject: "00000000-0000-0000-0000-000000000001",
      email: "alice@example.com",
      groups: ["6f1e", "7a2b"],
      roles: ["Task.Admin"],
      scopes: ["Mcp.Read", "Mcp.Write"],
    },
  },
  "Okta: scopes in scp as a list": {
    claims: { sub: "alice@example.com", groups: ["Everyone", "eng"], scp: ["openid", "mcp"] },
    expected: { subject: "alice@example.com", groups: ["Everyone", "eng"], roles: [], scopes: ["openid", "mcp"] },
  },
  "Auth0: claims of one's own are URLs, with dots in them": {
    paths: { roles: "https://example.com/roles", groups: "https://example.com/groups" },
    claims: {
      sub: "auth0|alice",
      "https://example.com/roles": ["admin"],
      "https://example.com/groups": ["eng"],
      scope: "openid profile",
    },
    expected: { subject: "auth0|alice", roles: ["admin"], groups: ["eng"], scopes: ["openid", "profile"] },
  },
}

describe("the identity of a token", () => {
  test.each(Object.entries(shapes))("%s", (_name, { paths, claims, expected }) => {
    const identity = identityOf(claims, { ...standard, ...paths }, "corp")
    expect(identity).toMatchObject({ source: "jwt", issuer: "corp", ...expected })
    expect(identity).toHaveProperty("claims", claims)
  })
  test.each([undefined, null, "", 7, true, ["a"], { a: 1 }, "u\ud83d", "\udc00\ud800", "x".repeat(1_025)])(
    "is none if its subject is %j, and says why without it",
    (sub) => {
      const { noIdentity } = identityOf({ sub }, standard, "corp") as { noIdentity: string }
      expect(noIdentity).toMatch(
        /^it(s subject is (empty|no valid Unicode|longer than 1024 characters)| names no subject)$/,
      )
    },
  )
  test.each([
    ["composed", "\u00e9", "e\u0301"],
    ["a compatibility form", "ﬁ", "fi"],
    ["NUL", "alice", "alice\0"],
    ["what stands behind NUL", "a\0b", "a\0c"],
    ["case", "alice", "Alice"],
    ["a blank at the end", "alice", "alice "],
    ["a blank at the beginning", "alice", " alice"],
    ["an invisible character", "alice", "ali\u200bce"],
    ["U+FFFD", "u\ufffd", "u"],
    ["the last of 1,024 characters", "x".repeat(1_024), `${"x".repeat(1_023)}y`],
    ["a whole pair", "u\ud83d\ude00", "u\ud83e\ude00"],
  ])("is two where subjects differ by %s", (_name, one, other) => {
    const keys = [one, other].map((sub) => {
      const identity = identityOf({ sub }, standard, "corp")
      if ("noIdentity" in identity) throw new Error(identity.noIdentity)
      return [subjectDigest(identity), scopeSecretName("github", "user", { issuer: "corp", name: identity.subject })]
    })
    expect(keys[0]?.[0]).not.toBe(keys[1]?.[0])
    expect(keys[0]?.[1]).not.toBe(keys[1]?.[1])
  })
  test("leaves out names and addresses that are no valid Unicode", () => {
    const half = "u\ud83d"
    const claims = { sub: "a", email: half, groups: [half, "eng"], roles: half, scope: `read ${half} write` }
    const identity = identityOf(claims, standard, "corp")
    expect(identity).toMatchObject({ groups: ["eng"], roles: [], scopes: ["read", "write"] })
    expect(identity).not.toHaveProperty("email")
  })
  test.each([false, "false", "true", 0, 1, null, "", {}, undefined])(
    "has no mail address that its issuer does not vouch for by true, but by %j",
    (email_verified) => {
      const claims = { sub: "a", email: "root@example.com", email_verified }
      expect(identityOf(claims, standard, "corp")).not.toHaveProperty("email")
    },
  )
  test("has the mail address of an issuer that says nothing of it", () => {
    const email = "root@example.com"
    expect(identityOf({ sub: "a", email }, standard, "corp")).toHaveProperty("email", email)
  })
  test("takes one text for a list, and leaves out what is no text", () => {
    const claims = { sub: "a", groups: "eng", roles: ["admin", 7, null, { x: 1 }, "", "admin"] }
    expect(identityOf(claims, standard, "corp")).toMatchObject({ groups: ["eng"], roles: ["admin"] })
  })
})

describe("a claim's path", () => {
  test("means the claim of that very name before it means steps", () => {
    expect(claimAt({ "a.b": 1, a: { b: 2 } }, "a.b")).toBe(1)
    expect(claimAt({ a: { b: 2 } }, "a.b")).toBe(2)
  })
  test("a list is its names and nothing else", () => {
    expect(claimAt({ "a.b": 1, a: { b: 2 } }, ["a.b"])).toBe(1)
    expect(claimAt({ "a.b": 1, a: { b: 2 } }, ["a", "b"])).toBe(2)
    expect(claimAt({ a: { "b.c": { d: 3 }, b: { c: { d: 4 } } } }, ["a", "b.c", "d"])).toBe(3)
    for (const path of [["a.b"], ["a", "x"], ["a", "b", "c"], ["constructor", "name"], ["l", "0"]])
      expect(claimAt({ a: { b: "text" }, l: ["first"] }, path), path.join()).toBeUndefined()
  })
  test.each(["constructor", "__proto__", "a.constructor", "a.length", "b.0", "a.b.c"])(
    "%s finds nothing that is no claim",
    (path) => {
      expect(claimAt({ a: { x: 1 }, b: ["first"] }, path)).toBeUndefined()
    },
  )
})
