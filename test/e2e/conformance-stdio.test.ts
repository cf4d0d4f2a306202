/** The official conformance runner against a server that speaks only stdin and stdout, through gateway and bridge. */
import { describe, expect, test } from "vitest"
import { type LeftOut, passesScenarios } from "../support/conformance/scenarios.ts"
import { eventsOf, legacyCall, openSession, type StreamEvent } from "../support/legacy.ts"
import { type Reflow, repositoryFile, startReflow, target } from "../support/reflow.ts"

const server = (name: string) => repositoryFile(`test/fixtures/servers/conformance/${name}.mjs`)

const perSession: LeftOut = {
  "2025-11-25": {
    "server-sse-polling":
      "it wants an event stream that ends before its answer, and a server behind stdin cannot ask the bridge for this",
  },
}

const askedNobody = "a process that all clients share has no client that it could ask"

const shared: LeftOut = {
  "2025-11-25": {
    ...perSession["2025-11-25"],
    "tools-call-with-logging": "log messages of a process that all clients share name no client who may see them",
    "tools-call-sampling": askedNobody,
    "tools-call-elicitation": askedNobody,
    "elicitation-sep1034-defaults": askedNobody,
    "elicitation-sep1330-enums": askedNobody,
  },
}

const rounds = [
  "basic-elicitation",
  "basic-sampling",
  "basic-list-roots",
  "request-state",
  "multiple-input-requests",
  "multi-round",
  "missing-input-response",
  "non-tool-request",
  "result-type",
  "tampered-state",
  "capability-check",
  "validate-input",
]

const older: LeftOut = {
  ...perSession,
  "2026-07-28": {
    "server-stateless": "a server of the older era has no subscriptions, and no error for what its client cannot do",
    ...Object.fromEntries(
      rounds.map((name) => [`input-required-result-${name}`, "a server of the older era does not ask by rounds"]),
    ),
  },
}

/** Runs all scenarios through a gateway; returns the URL and a token of a user, for more tests. */
const passesThrough = (
  name: string,
  stdio: object,
  leftOut: LeftOut,
): (() => { readonly url: string; readonly token: string }) => {
  let reflow: Reflow | undefined
  const place = { url: "", token: "" }
  passesScenarios(async () => {
    reflow = await startReflow({ targets: target("conformance", ["node", server(name)], { stdio }) })
    place.url = `${reflow.url}/mcp/conformance`
    place.token = await reflow.token("alice")
    return { ...place, close: reflow.stop }
  }, leftOut)
  return () => place
}

/** The events of a response up to the first one that `isLast`, after which the connection is broken off. */
const readUntil = async (response: Response, isLast: (event: StreamEvent) => boolean): Promise<StreamEvent[]> => {
  const events: StreamEvent[] = []
  for await (const event of eventsOf(response)) {
    events.push(event)
    if (isLast(event)) break
  }
  return events
}

describe("a stdio server with a process for each session", () => {
  const place = passesThrough("stdio", {}, perSession)

  test("tells a client that lost its connection during a call what it missed, and the rest, each event once", async () => {
    const session = await openSession(place().url, place().token)
    const call = legacyCall("test_tool_with_progress")
    const message = { ...call, params: { ...call.params, _meta: { progressToken: "mine" } } }
    const lost = await readUntil(await session.post(message), ({ data }) => data !== "")
    const opening = lost.find(({ id }) => id !== undefined)
    expect(opening?.data).toBe("")
    // as if everything behind the stream's first event had got lost
    const resumed = await session.send("GET", { "last-event-id": opening?.id ?? "" })
    const events = await readUntil(resumed, ({ data }) => data.includes('"result"'))
    const messages = events.flatMap(({ data }) => (data === "" ? [] : [JSON.parse(data)]))
    expect(messages.map(({ params, id }) => params ?? id)).toEqual([
      { progressToken: "mine", progress: 0, total: 100 },
      { progressToken: "mine", progress: 50, total: 100 },
      { progressToken: "mine", progress: 100, total: 100 },
      1,
    ])
    await session.send("DELETE")
  })
})

describe("a stdio server with one process for all sessions", () => {
  passesThrough("stdio", { processes: "shared" }, shared)
})

describe("a stdio server of the older era", () => {
  passesThrough("stdio-legacy", {}, older)
})
