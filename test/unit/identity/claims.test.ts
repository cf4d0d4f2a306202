import { describe, expect, test } from "vitest"
import { type ClaimPaths, claimAt, identityOf } from "../../../src/identity/claims.ts"

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
    expect(identity?.claims).toBe(claims)
  })
  test.each([undefined, null, "", 7, ["a"], { a: 1 }])("is none if its subject is %j", (sub) => {
    expect(identityOf({ sub }, standard, "corp")).toBeUndefined()
  })
  test("has no mail address that its issuer has not checked", () => {
    expect(
      identityOf({ sub: "a", email: "root@example.com", email_verified: false }, standard, "corp"),
    ).not.toHaveProperty("email")
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
  test.each(["constructor", "__proto__", "a.constructor", "a.length", "b.0", "a.b.c"])(
    "%s finds nothing that is no claim",
    (path) => {
      expect(claimAt({ a: { x: 1 }, b: ["first"] }, path)).toBeUndefined()
    },
  )
})
