import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { hasCode } from "../../src/errors.ts"
import type { DevOptions } from "../../src/roles/dev.ts"
import { bannerToken, type DevRole, startDevRole } from "../support/dev-role.ts"
import { toolText } from "../support/modern.ts"
import { repositoryFile, target } from "../support/reflow.ts"

const server = repositoryFile("test/fixtures/servers/dual.mjs")
const notes = target("notes", ["node", server], { credentials: [{ name: "API_TOKEN" }] })

let folder: string
const running: DevRole[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "reflow-state-"))
})
afterEach(async () => {
  await Promise.all(running.splice(0).map(({ role }) => role.close()))
  rmSync(folder, { recursive: true, force: true })
})
const state = () => join(folder, "state")
const stateFile = () => join(state(), "dev-state.json")

/** What is looked at of an answer: a list has items, a target the fields that the tests change. */
type Body = {
  readonly items: readonly { readonly name: string }[]
  readonly created_time: string
  readonly idle_ttl: string
  readonly isolation_boundary: string
  readonly command: readonly string[]
}

/** A started program, as its users have it. */
type Run = DevRole & {
  readonly url: string
  readonly api: (who: string, method: string, path: string, body?: unknown) => Promise<{ status: number; body: Body }>
  readonly names: () => Promise<readonly string[]>
  /** The value of API_TOKEN that the caller's server has. */
  readonly value: (who: string, name: string) => Promise<string>
  readonly end: () => Promise<void>
}

const run = async (targets: string, options: Partial<DevOptions> = {}): Promise<Run> => {
  const dev = startDevRole({ folder, targets, options })
  running.push(dev)
  const { url } = await dev.role.ready
  const api: Run["api"] = async (who, method, path, body) => {
    const response = await fetch(`${url}/api${path}`, {
      method,
      headers: {
        authorization: `Bearer ${bannerToken(dev.out.printed, who)}`,
        "content-type": method === "PATCH" ? "application/merge-patch+json" : "application/json",
        ...(method === "PUT" && path.split("/").length === 3 ? { "if-match": "*" } : {}),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    return { status: response.status, body: text === "" ? undefined : JSON.parse(text) }
  }
  return {
    ...dev,
    url,
    api,
    names: async () => (await api("admin", "GET", "/targets")).body.items.map(({ name }) => name),
    value: async (who, name) => {
      const all = await toolText(`${url}/mcp/${name}`, bannerToken(dev.out.printed, who), "env", {
        names: ["API_TOKEN"],
      })
      return JSON.parse(all).values.API_TOKEN
    },
    end: async () => {
      running.splice(running.indexOf(dev), 1)
      await dev.role.close()
    },
  }
}

const mine = (more: object = {}) => ({
  name: "mine",
  transport_type: "kubernetes",
  image: "example.invalid/mine:1",
  command: ["node", server],
  port: 8080,
  isolation_boundary: "per_user",
  credentials: [{ name: "API_TOKEN" }],
  ...more,
})

describe("what users make by the REST API is there again at the next start", () => {
  test("a target, a user's values for it and everybody's", async () => {
    const first = await run(notes)
    const made = await first.api("admin", "POST", "/targets", mine())
    expect(made.status).toBe(201)
    expect((await first.api("alice", "PUT", "/targets/mine/env/me", { API_TOKEN: "of-alice" })).status).toBe(200)
    expect((await first.api("admin", "PUT", "/targets/mine/env/default", { API_TOKEN: "of-all" })).status).toBe(200)
    await first.end()
    const second = await run(notes)
    expect(await second.names()).toEqual(["mine", "notes"])
    const found = await second.api("admin", "GET", "/targets/mine")
    expect(found.body).toMatchObject({ command: ["node", server], created_time: made.body.created_time })
    expect([await second.value("alice", "mine"), await second.value("bob", "mine")]).toEqual(["of-alice", "of-all"])
    // the program's own values may be changed on, and go with their target
    expect((await second.api("alice", "DELETE", "/targets/mine/env/me")).status).toBe(200)
    expect((await second.api("admin", "DELETE", "/targets/mine")).status).toBe(204)
    await second.end()
    const third = await run(notes)
    expect(await third.names()).toEqual(["notes"])
    for (const value of ["of-alice", "of-all"])
      expect(readFileSync(stateFile(), "utf8")).not.toContain(Buffer.from(value).toString("base64"))
  })

  test("values for a target of a file, which is there once", async () => {
    const first = await run(notes)
    await first.api("alice", "PUT", "/targets/notes/env/me", { API_TOKEN: "of-alice" })
    await first.end()
    const second = await run(notes)
    expect(await second.names()).toEqual(["notes"])
    expect(await second.value("alice", "notes")).toBe("of-alice")
  })

  test("before it is answered: a program that is killed has lost nothing of it", async () => {
    const first = await run(notes)
    await first.api("admin", "POST", "/targets", mine())
    expect(readFileSync(stateFile(), "utf8")).toContain('"name": "mine"')
    await first.api("alice", "PUT", "/targets/mine/env/me", { API_TOKEN: "of-alice" })
    expect(readFileSync(stateFile(), "utf8")).toContain(Buffer.from("of-alice").toString("base64"))
    await first.api("admin", "DELETE", "/targets/mine")
    expect(readFileSync(stateFile(), "utf8")).not.toContain('"name": "mine"')
  })

  test("but no instance, and no Secret of one", async () => {
    const first = await run(notes)
    await first.api("admin", "PUT", "/targets/notes/env/default", { API_TOKEN: "of-all" })
    expect(await first.value("alice", "notes")).toBe("of-all")
    await first.end()
    const kept = JSON.parse(readFileSync(stateFile(), "utf8")).objects
    expect(kept.map(({ object }: { object: { metadata: { name: string } } }) => object.metadata.name)).toEqual([
      "notes",
      "notes-env-default",
    ])
    const second = await run(notes)
    expect((await second.api("admin", "GET", "/instances")).body.items).toEqual([])
  })
})

describe("files of targets", () => {
  test("a target that was deleted stays deleted until its file says something else of it", async () => {
    const first = await run(notes)
    await first.api("admin", "DELETE", "/targets/notes")
    await first.end()
    const second = await run(notes)
    expect(await second.names()).toEqual([])
    expect(second.out.logged).toContain("not loaded from its file, since it was deleted")
    await second.end()
    const third = await run(target("notes", ["node", server], { idleTTL: "20m" }))
    expect(await third.names()).toEqual(["notes"])
    await third.end()
    expect(await (await run(target("notes", ["node", server], { idleTTL: "20m" }))).names()).toEqual(["notes"])
  })

  test("a target keeps what the REST API changed of it until its file says something else of it", async () => {
    const first = await run(notes)
    const changed = await first.api("admin", "PATCH", "/targets/notes?force=true", { idle_ttl: "11m" })
    expect(changed.body.idle_ttl).toBe("11m")
    await first.api("alice", "PUT", "/targets/notes/env/me", { API_TOKEN: "of-alice" })
    await first.end()
    const second = await run(notes)
    expect((await second.api("admin", "GET", "/targets/notes")).body.idle_ttl).toBe("11m")
    await second.end()
    const third = await run(target("notes", ["node", server], { idleTTL: "20m", credentials: [{ name: "API_TOKEN" }] }))
    expect((await third.api("admin", "GET", "/targets/notes")).body.idle_ttl).toBe("20m")
    expect(third.out.logged).toContain("taken from its file, which has changed")
    expect(await third.value("alice", "notes")).toBe("of-alice")
  })

  test("a field that must not change may be another one in the file", async () => {
    await (await run(notes)).end()
    const second = await run(target("notes", ["node", server], { isolationBoundary: "shared" }))
    expect((await second.api("admin", "GET", "/targets/notes")).body.isolation_boundary).toBe("shared")
  })

  test("a target without its file is not there, and its users' values are back with the file", async () => {
    const first = await run(notes)
    await first.api("alice", "PUT", "/targets/notes/env/me", { API_TOKEN: "of-alice" })
    await first.end()
    const second = await run(target("other", ["node", server]))
    expect(await second.names()).toEqual(["other"])
    await second.end()
    const third = await run(notes)
    expect(await third.names()).toEqual(["notes"])
    expect(await third.value("alice", "notes")).toBe("of-alice")
  })

  test("a target of the REST API is stronger than one of its name in a file, and the log says so", async () => {
    const first = await run("")
    await first.api("admin", "POST", "/targets", mine())
    await first.end()
    const second = await run(target("mine", ["node", "other.mjs"]))
    expect((await second.api("admin", "GET", "/targets/mine")).body.command).toEqual(["node", server])
    expect(second.out.logged).toContain("the REST API made one of this name")
  })
})

describe("the state folder", () => {
  test("and its files are their owner's alone, without drafts and locks at the end", async () => {
    const first = await run(notes)
    await first.api("admin", "POST", "/targets", mine())
    expect(statSync(state()).mode & 0o777).toBe(0o700)
    for (const name of readdirSync(state())) expect(statSync(join(state(), name)).mode & 0o777, name).toBe(0o600)
    await first.end()
    expect(readdirSync(state()).sort()).toEqual(["dev-state.json", "dev-token-key"])
  })

  test("is one program's at a time, and free once that has ended", async () => {
    const first = await run(notes)
    const error = await run(notes).catch((each) => each)
    expect(hasCode(error, "StateInUse") && error.message).toContain(`process ${process.pid}`)
    expect(await first.names()).toEqual(["notes"])
    await first.end()
    expect(await (await run(notes)).names()).toEqual(["notes"])
  })

  test("that others may write to is refused with what to do", async () => {
    await (await run(notes)).end()
    chmodSync(state(), 0o777)
    const error = await run(notes).catch((each) => each)
    expect(hasCode(error, "StateInvalid") && error.message).toContain(`run chmod go-w ${state()}`)
  })

  test.runIf(process.geteuid?.() === 0)(
    "of another user is refused, even if only that one may write to it",
    async () => {
      await (await run(notes)).end()
      chownSync(state(), 65_534, 65_534)
      const error = await run(notes).catch((each) => each)
      expect(hasCode(error, "StateInvalid") && error.message).toContain("belongs to another user")
    },
  )

  test("with a link where a draft is to be written leaves alone what the link names", async () => {
    await (await run(notes)).end()
    const precious = join(folder, "precious")
    writeFileSync(precious, "mine", { mode: 0o644 })
    symlinkSync(precious, `${stateFile()}.draft`)
    const second = await run(notes)
    await second.api("admin", "POST", "/targets", mine())
    await second.end()
    expect([readFileSync(precious, "utf8"), statSync(precious).mode & 0o777]).toEqual(["mine", 0o644])
    expect(lstatSync(stateFile()).isFile()).toBe(true)
    expect((await (await run(notes)).names()).length).toBe(2)
  })

  test.each([
    ["half a file", '{"format": 1, "obje', "is damaged: it is not JSON"],
    ["another version's file", '{"format": 2}', "its format is 2, this version's is 1"],
    ["something else", '{"format": 1, "objects": [{"object": 1}], "aside": [], "deleted": []}', "is damaged"],
  ])("with %s ends the start, and the file stays as it is; --fresh begins anew", async (_, text, words) => {
    await (await run(notes)).end()
    writeFileSync(stateFile(), text)
    const error = await run(notes).catch((each) => each)
    expect(hasCode(error, "StateInvalid") && error.message).toContain(words)
    expect(error.message).toContain(stateFile())
    expect(readFileSync(stateFile(), "utf8")).toBe(text)
    expect(await (await run(notes, { fresh: true })).names()).toEqual(["notes"])
  })

  test("with a target that this version refuses sets that aside, with its values, and says so", async () => {
    const first = await run("")
    await first.api("admin", "POST", "/targets", mine())
    await first.api("alice", "PUT", "/targets/mine/env/me", { API_TOKEN: "of-alice" })
    await first.end()
    const broken = readFileSync(stateFile(), "utf8").replace('"port": 8080', '"port": 99999')
    writeFileSync(stateFile(), broken)
    const second = await run("")
    expect(await second.names()).toEqual([])
    expect(second.out.logged).toContain("this version of the program refuses it")
    await second.end()
    writeFileSync(stateFile(), readFileSync(stateFile(), "utf8").replace('"port": 99999', '"port": 8080'))
    const third = await run("")
    expect(await third.names()).toEqual(["mine"])
    expect(await third.value("alice", "mine")).toBe("of-alice")
  })

  test("is not touched by a start whose targets are wrong", async () => {
    const first = await run(notes)
    await first.api("alice", "PUT", "/targets/notes/env/me", { API_TOKEN: "of-alice" })
    await first.end()
    const before = readFileSync(stateFile(), "utf8")
    const error = await run(target("notes", ["node", server], { idleTTL: "1s" })).catch((each) => each)
    expect(hasCode(error, "ConfigInvalid") && error.message).toContain("targets.yaml")
    expect(readFileSync(stateFile(), "utf8")).toBe(before)
  })
})

test("--fresh forgets targets and values, but not the tokens' key", async () => {
  const first = await run(notes)
  await first.api("admin", "POST", "/targets", mine())
  await first.api("admin", "DELETE", "/targets/notes")
  await first.end()
  const second = await run(notes, { fresh: true })
  expect(await second.names()).toEqual(["notes"])
  const headers = { authorization: `Bearer ${bannerToken(first.out.printed, "admin")}` }
  expect((await fetch(`${second.url}/api/targets`, { headers })).status).toBe(200)
})

test("a change that cannot be written is told, and the program goes on", async () => {
  const first = await run(notes)
  rmSync(state(), { recursive: true })
  expect((await first.api("admin", "POST", "/targets", mine())).status).toBe(201)
  expect(first.out.logged).toContain("could not be kept: a restart forgets what changed")
  expect(existsSync(state())).toBe(false)
  expect(await first.names()).toEqual(["mine", "notes"])
})
