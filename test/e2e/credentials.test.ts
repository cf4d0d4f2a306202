/** Credentials as users and administrators meet them, on the whole program: who gets which value, and from when on. */
import { execFile } from "node:child_process"
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { connectV1, connectV2 } from "../support/mcp-peers.ts"
import { answerOf, callTool, toolText } from "../support/modern.ts"
import { eventually } from "../support/processes.ts"
import { initialize, post, type Reflow, repositoryFile, startReflow, target } from "../support/reflow.ts"

const server = ["node", repositoryFile("test/fixtures/servers/dual.mjs")]
/** One variable for each scope that may set it last, and one that all of them set. */
const names = ["DEFAULT", "ROLE", "GROUP", "USER", "ALL"]

const folder = mkdtempSync(join(tmpdir(), "reflow-credentials-"))
/** Where the tool slow says that it is at work. */
const marks = join(folder, "slow")

/** Each names the one before it twice. */
const doubling = Array.from({ length: 100 }, (_, at) => ({
  name: `V${at}`,
  value: at === 0 ? "xx" : `$(V${at - 1})`.repeat(2),
}))

let reflow: Reflow
beforeAll(async () => {
  const credentials = names.map((name) => ({ name }))
  reflow = await startReflow({
    targets:
      target("many", server, { credentials, env: [{ name: "CANCEL_FILE", value: marks }] }) +
      target("words", [...server, "--token=$(TOKEN)", "$$(TOKEN)", "$(PORT)", "$(ABSENT)"], {
        credentials: [{ name: "TOKEN" }],
        env: [
          { name: "X", value: "expanded" },
          { name: "URL", value: "http://$(TOKEN)@$(X)" },
        ],
      }) +
      target("nowhere", ["$(TOKEN)"], { credentials: [{ name: "TOKEN" }] }) +
      target("doubling", server, { env: doubling }) +
      target("common", server, { isolationBoundary: "shared" }) +
      target("team", server, { isolationBoundary: "per_group" }) +
      target("needy", server, {
        credentials: [
          { name: "FIRST", required: true, description: "The first of two, which anybody may choose." },
          { name: "SECOND", required: true },
        ],
      }) +
      target("needy-common", server, {
        isolationBoundary: "shared",
        credentials: [{ name: "FIRST", required: true }],
      }),
  })
})
afterAll(async () => {
  await reflow.stop()
  rmSync(folder, { recursive: true, force: true })
})

const set = async (target: string, scope: string, values: object, as?: string) => {
  const { status, body } = await reflow.api("PUT", `/api/targets/${target}/env/${scope}`, values, as)
  expect(status, JSON.stringify(body)).toBe(200)
  return body.restarting as readonly string[]
}

/** What a user's server has, and which process it is. */
const look = async (
  token: string,
): Promise<{ readonly pid: string; readonly values: Record<string, string | null> }> => {
  const url = `${reflow.url}/mcp/many`
  const { values } = JSON.parse(await toolText(url, token, "env", { names }))
  return { pid: await toolText(url, token, "pid"), values }
}

describe("a value of a scope", () => {
  const users = ["alice", "bob", "carol"] as const
  type User = (typeof users)[number]
  const who: Readonly<Record<User, { roles?: string[]; groups?: string[] }>> = {
    alice: { roles: ["dev"], groups: ["eng"] },
    bob: { roles: ["dev"] },
    carol: {},
  }
  const lookAll = async () => {
    const looks = users.map(async (user) => [user, await look(await reflow.token(user, who[user]))] as const)
    return Object.fromEntries(await Promise.all(looks)) as Record<User, Awaited<ReturnType<typeof look>>>
  }
  const instances = async (): Promise<Readonly<Record<string, User>>> => {
    const { body } = await reflow.api("GET", "/api/targets/many/instances")
    const entries = body.items.map(({ name, subject }: { name: string; subject: string }) => [
      name,
      subject.replace("dev/", ""),
    ])
    return Object.fromEntries(entries)
  }

  // from the weakest to the strongest: each takes over what the ones before have set
  test.each([
    ["default", "DEFAULT", ["alice", "bob", "carol"]],
    ["role/dev/dev", "ROLE", ["alice", "bob"]],
    ["group/dev/eng", "GROUP", ["alice"]],
    ["user/dev/alice", "USER", ["alice"]],
  ] as const)(
    "%s is in the very next call of whom it concerns, whose servers alone are others",
    async (scope, name, concerned) => {
      const before = await lookAll()
      const owners = await instances()
      const restarting = await set("many", scope, { [name]: `from ${scope}`, ALL: scope })
      // at once, without waiting for anything
      const after = await lookAll()
      expect(restarting.map((each) => owners[each]).toSorted()).toEqual(concerned)
      for (const user of users) {
        const isConcerned = (concerned as readonly User[]).includes(user)
        expect(after[user].pid === before[user].pid, user).toBe(!isConcerned)
        expect(after[user].values).toEqual(
          isConcerned ? { ...before[user].values, [name]: `from ${scope}`, ALL: scope } : before[user].values,
        )
      }
    },
  )

  test("that is removed uncovers the next weaker one", async () => {
    const token = await reflow.token("alice", who.alice)
    for (const [scope, left] of [
      ["user/dev/alice", "group/dev/eng"],
      ["group/dev/eng", "role/dev/dev"],
      ["role/dev/dev", "default"],
      ["default", null],
    ] as const) {
      const { status } = await reflow.api("DELETE", `/api/targets/many/env/${scope}`)
      expect(status).toBe(200)
      expect((await look(token)).values.ALL).toBe(left)
    }
  })

  test("lets a call finish that runs on a server with the old one, while the next call has the new one from another", async () => {
    const token = await reflow.token("dora")
    const url = `${reflow.url}/mcp/many`
    await set("many", "me", { USER: "old" }, token)
    const before = await look(token)
    const slow = toolText(url, token, "slow", { seconds: 3 })
    await eventually(() => existsSync(`${marks}.began`), 10_000, "the call runs")
    expect(await set("many", "me", { USER: "new" }, token)).toHaveLength(1)
    const [said, after] = await Promise.all([slow, look(token)])
    expect(said, "the call is not cut").toBe("slept 3 seconds")
    expect(before.values.USER).toBe("old")
    expect(after.values.USER).toBe("new")
    expect(after.pid).not.toBe(before.pid)
  })
})

test("a group that is taken from a user takes its values along at their next request, and nobody else's", async () => {
  await set("many", "group/dev/ops", { GROUP: "for ops" })
  const [erin, frank] = await Promise.all(["erin", "frank"].map((user) => reflow.token(user, { groups: ["ops"] })))
  const before = { erin: await look(erin ?? ""), frank: await look(frank ?? "") }
  expect([before.erin.values.GROUP, before.frank.values.GROUP]).toEqual(["for ops", "for ops"])
  const without = await look(await reflow.token("erin"))
  expect(without.values.GROUP).toBeNull()
  expect(without.pid).not.toBe(before.erin.pid)
  expect((await look(frank ?? "")).pid).toBe(before.frank.pid)
  expect((await look(erin ?? "")).values.GROUP, "given back").toBe("for ops")
})

describe("$(NAME) in a target's command and env", () => {
  test("stands for a credential, whose value reaches the server as it is", async () => {
    const token = await reflow.token("ida")
    await set("words", "me", { TOKEN: "$(X)$$" }, token)
    const { args, values } = JSON.parse(
      await toolText(`${reflow.url}/mcp/words`, token, "env", { names: ["TOKEN", "URL", "PORT"] }),
    )
    expect(values).toMatchObject({ TOKEN: "$(X)$$", URL: "http://$(X)$$@expanded" })
    expect(args).toEqual(["--token=$(X)$$", "$(TOKEN)", values.PORT, "$(ABSENT)"])
  })

  test("is told as the target says it where the program is not found, and its value nowhere", async () => {
    const token = await reflow.token("ida")
    await set("nowhere", "me", { TOKEN: "canary-in-the-command" }, token)
    const { error } = await answerOf(await callTool(`${reflow.url}/mcp/nowhere`, token, "pid"))
    expect(error.data).toMatchObject({ code: "InstanceFailed", reason: "RunContainerError" })
    expect(JSON.stringify(error)).not.toContain("canary-in")
    const { body } = await reflow.api("GET", "/api/targets/nowhere/instances")
    expect(JSON.stringify(body)).not.toContain("canary-in")
    await expect.poll(() => reflow.output()).toContain('exec: \\"$(TOKEN)\\": executable file not found')
    expect(reflow.output()).not.toContain("canary-in")
  })

  test("is refused where values would double with each variable, and the variable is named", async () => {
    const { error } = await answerOf(await callTool(`${reflow.url}/mcp/doubling`, await reflow.token("ida"), "pid"))
    expect(error.data).toMatchObject({ code: "InstanceFailed", reason: "InvalidSpec" })
    expect(error.message).toMatch(/The environment variable V16 becomes longer than 131072 bytes/)
  })
})

describe("what is refused with 422:", () => {
  test.each([
    ["common", "me"],
    ["common", "user/dev/alice"],
    ["common", "group/dev/eng"],
    ["common", "role/dev/dev"],
    ["team", "me"],
    ["team", "user/dev/alice"],
    ["team", "role/dev/dev"],
  ])("at %s, values of the scope %s, which is narrower than the boundary", async (name, scope) => {
    const { status, body } = await reflow.api("PUT", `/api/targets/${name}/env/${scope}`, { TOKEN: "canary" })
    expect({ status, code: body.code }).toEqual({ status: 422, code: "ScopeTooNarrow" })
    expect(JSON.stringify(body)).not.toContain("canary")
  })

  test.each(["NODE_OPTIONS", "LD_PRELOAD", "PATH", "PORT"])("the name %s, in every scope", async (name) => {
    for (const scope of ["default", "role/dev/dev", "group/dev/eng", "user/dev/alice", "me"]) {
      const { status, body } = await reflow.api("PUT", `/api/targets/many/env/${scope}`, { [name]: "canary" })
      expect({ status, code: body.code }).toEqual({ status: 422, code: "ValidationFailed" })
      expect(body.errors[0].pointer).toBe(`/${name}`)
      expect(JSON.stringify(body)).not.toContain("canary")
      expect((await reflow.api("GET", `/api/targets/many/env/${scope}`)).body.names).not.toContain(name)
    }
  })
})

describe("a required credential that is missing", () => {
  const missing = (names: readonly string[], url: string) => ({ code: "CredentialMissing", names, url })

  test("is named to MCP clients of both eras, with what it is and the command that sets it; then the server starts", async () => {
    const gina = await reflow.token("gina")
    const url = `${reflow.url}/mcp/needy`
    for (const response of [await callTool(url, gina, "pid"), await post(url, gina, initialize())]) {
      const { error } = await answerOf(response)
      expect(error.message).toContain(
        "FIRST, SECOND. FIRST: The first of two, which anybody may choose. Set yours with:",
      )
      expect(error.message).toContain(error.data.command)
      expect(error.data).toMatchObject(missing(["FIRST", "SECOND"], `${reflow.url}/api/targets/needy/env/me`))
    }
    /** As somebody does who reads it: with their own token and values. */
    const obey = async (values: Readonly<Record<string, string>>): Promise<void> => {
      const { error } = await answerOf(await callTool(url, gina, "pid"))
      const body = JSON.stringify(Object.fromEntries(error.data.names.map((name: string) => [name, "VALUE"])))
      const command = error.data.command.replace("Bearer TOKEN", `Bearer ${gina}`).replace(body, JSON.stringify(values))
      await promisify(execFile)("sh", ["-c", `${command} -sS --fail-with-body`])
    }
    await obey({ FIRST: "1" })
    expect((await answerOf(await callTool(url, gina, "pid"))).error.data.names).toEqual(["SECOND"])
    await obey({ SECOND: "2" })
    const { values } = JSON.parse(await toolText(url, gina, "env", { names: ["FIRST", "SECOND"] }))
    expect(values).toEqual({ FIRST: "1", SECOND: "2" })
  })

  test("is named, with the URL, by the errors of the client libraries", async () => {
    const [harry, url] = [await reflow.token("harry"), `${reflow.url}/mcp/needy`]
    for (const connect of [
      connectV1,
      ...(["2026-07-28", "auto"] as const).map((era) => connectV2.bind(undefined, era)),
    ]) {
      const error = await connect(url, harry).catch((each) => each)
      expect(error).toBeInstanceOf(Error)
      // of what they pass on, one has the answer in the message, the other beside it
      const said = error.message + JSON.stringify(error.data ?? "")
      expect(said).toContain("needs the credentials FIRST, SECOND")
      expect(said).toContain(`${reflow.url}/api/targets/needy/env/me`)
    }
  })

  test("of a shared target is set in the default scope, by an administrator", async () => {
    const { error } = await answerOf(await callTool(`${reflow.url}/mcp/needy-common`, await reflow.token("ida"), "pid"))
    expect(error.data).toMatchObject(missing(["FIRST"], `${reflow.url}/api/targets/needy-common/env/default`))
    await set("needy-common", "default", { FIRST: "1" })
    const said = await toolText(`${reflow.url}/mcp/needy-common`, await reflow.token("ida"), "env", {
      names: ["FIRST"],
    })
    expect(JSON.parse(said).values).toEqual({ FIRST: "1" })
  })
})

test("no value of this file is in what the program printed", () => {
  for (const value of ["canary", "for ops", "from default", "from user"]) expect(reflow.output()).not.toContain(value)
})
