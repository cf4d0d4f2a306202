import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { initialize, post } from "../reflow.ts"
import { type Revision, readScenarios, revisions } from "./requirements.ts"
import { type Conformance, notRun, runConformance } from "./run.ts"

/** What the runner is pointed at, and how that is ended. */
export type Place = { readonly url: string; readonly token?: string; close?(): Promise<unknown> }

/** Why scenarios of a revision cannot be passed. */
export type LeftOut = Readonly<Partial<Record<Revision, Readonly<Record<string, string>>>>>

/**
 * Runs all scenarios of both revisions once, when `start` has made the place, and makes a test of each of them. Those
 * that are left out must fail, so that none stays left out for longer than its reason holds.
 */
export const passesScenarios = (start: () => Promise<Place>, leftOut: LeftOut = {}): void => {
  const results = new Map<Revision, Conformance>()
  let place: Place | undefined
  beforeAll(async () => {
    const started = await start()
    place = started
    const run = async (revision: Revision) => results.set(revision, await runConformance({ ...started, revision }))
    await Promise.all(revisions.map(run))
  })
  afterAll(async () => {
    await place?.close?.()
  })

  describe.each(revisions)("as a server of %s", (revision) => {
    const { required, unscored } = readScenarios(revision)
    const reasons = leftOut[revision] ?? {}
    const isIn = (scenario: string): boolean => !Object.hasOwn(reasons, scenario)
    test.each(required.filter(isIn))("passes %s", (scenario) => {
      expect(results.get(revision)?.faults(scenario), scenario).toEqual([])
    })
    test.each(unscored.filter(isIn))("passes %s, which does not count", (scenario) => {
      expect(results.get(revision)?.faults(scenario), scenario).toEqual([])
    })
    test.each(Object.entries(reasons))("cannot pass %s: %s", (scenario) => {
      expect([...required, ...unscored]).toContain(scenario)
      const faults = results.get(revision)?.faults(scenario)
      expect(faults, scenario).not.toEqual([])
      expect(faults, scenario).not.toContain(notRun)
    })
    test("is told so by the runner", () => {
      const { code, output } = results.get(revision) ?? {}
      // 1: a required scenario failed
      expect(code, output).toBe(required.every(isIn) ? 0 : 1)
    })
  })
}

/** Opens a session at the first address of a server, and uses it at every one; fails if one of them does not know it. */
export const expectOneSession = async ([first = "", ...others]: readonly string[], token: string): Promise<void> => {
  const opened = await post(first, token, initialize())
  expect(await opened.text()).toContain("serverInfo")
  const session = { "mcp-session-id": opened.headers.get("mcp-session-id") ?? "" }
  for (const url of [...others, first]) {
    const answer = await post(url, token, { jsonrpc: "2.0", id: 2, method: "ping" }, session)
    expect([answer.status, await answer.text()]).toEqual([200, expect.stringContaining('"result":{}')])
  }
}
