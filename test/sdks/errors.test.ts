import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { type ErrorCode, errorTable } from "../../src/errors.ts"
import { type Reflow, repositoryFile, startReflow, target } from "../support/reflow.ts"
import { type ClientProgram, type Failure, failureOf, startClient } from "./client-program.ts"
import { clients, isThere } from "./parties.ts"

const server = (name: string): string[] => ["node", repositoryFile(`test/fixtures/servers/${name}.mjs`)]
let reflow: Reflow
let alice: string

beforeAll(async () => {
  reflow = await startReflow({
    form: "executable",
    targets:
      target("broken", server("crash")) +
      target("lacking", server("dual"), { credentials: [{ name: "TOKEN", required: true }] }) +
      target("paused", server("dual"), { paused: true }) +
      target("full", server("dual"), { maxInstances: 0 }) +
      target("narrow", server("dual"), { tools: { deny: ["env"] } }) +
      target("spare", server("dual")),
    set: { "kubernetes.hold_timeout": "2s" },
  })
  alice = await reflow.token("alice")
})
afterAll(async () => {
  await reflow?.stop()
})

/** Pauses the target `spare`, which belongs to a file, or resumes it. */
const pause = async (paused: boolean): Promise<void> => {
  const headers = {
    authorization: `Bearer ${await reflow.token("root", { roles: ["admin"] })}`,
    "content-type": "application/merge-patch+json",
  }
  const url = `${reflow.url}/api/targets/spare?force=true`
  expect((await fetch(url, { method: "PATCH", headers, body: JSON.stringify({ paused }) })).status).toBe(200)
}

/** The library shows a person the sentence, the code and what to do; and a program can read the code. */
const expectTold = ({ shown, rpc, data }: Failure, code: ErrorCode, sentence: string): void => {
  const { help, rpc: number, retryable } = errorTable[code]
  expect(shown).toContain(sentence)
  expect(shown).toContain(help)
  expect(shown).toContain(code)
  expect(rpc).toBe(number)
  expect(data).toMatchObject({ code, help, retryable })
}

/** Targets to which no connection can be made. */
const hopeless: readonly [string, string, ErrorCode, string][] = [
  ["its server does not start", "broken", "InstanceFailed", "The server process ended with exit code 3."],
  ["a credential is missing, and where it is set", "lacking", "CredentialMissing", "/api/targets/lacking/env/me"],
  ["the target is paused", "paused", "TargetPaused", "The target paused is paused."],
  ["no place is free", "full", "CapacityExceeded", "All places are taken"],
]

for (const client of clients)
  describe.runIf(isThere(client))(`${client.name} shows code, sentence and what to do`, () => {
    let program: ClientProgram
    beforeAll(() => {
      program = startClient(client.command)
    })
    afterAll(async () => {
      await program.stop()
    })

    test.each(hopeless)("when %s", async (_name, name, code, sentence) => {
      expectTold(await failureOf(program.connect(`${reflow.url}/mcp/${name}`, alice)), code, sentence)
    })
    test("when an answer is too long for the tool policy", async () => {
      await program.connect(`${reflow.url}/mcp/narrow`, alice)
      expectTold(await failureOf(program.call("big")), "UpstreamInvalid", "longer than 4194304 bytes")
    })
    test("when it calls a hidden tool", async () => {
      expectTold(await failureOf(program.call("env")), "UnknownTool", "Unknown tool: env")
      await program.close()
    })
    test("when the server ends before it answers", async () => {
      // a server of its own: one that ends often is started later and later
      await program.connect(`${reflow.url}/mcp/spare`, await reflow.token(client.name.replaceAll(" ", "-")))
      const failure = await failureOf(program.call("crash"))
      expectTold(failure, "UpstreamInterrupted", "The server closed the connection without an answer.")
    })
    test("when the target is paused in the middle of a session", async () => {
      await program.connect(`${reflow.url}/mcp/spare`, alice)
      // Python 1.x gives the connection up if its notification of being initialized is refused: a call comes after it
      await program.call("pid")
      await pause(true)
      const failure = await failureOf(program.call("echo", { message: "x" })).finally(() => pause(false))
      expectTold(failure, "TargetPaused", "The target spare is paused.")
      expect((await program.call("echo", { message: "x" })).text).toBe("Echo: x")
      await program.close()
    })
  })
