import { readFileSync } from "node:fs"
import { parse } from "yaml"
import { z } from "zod"
import { repositoryFile } from "../reflow.ts"

/** The last revision of each era. */
export const revisions = ["2025-11-25", "2026-07-28"] as const

/** A revision of MCP. */
export type Revision = (typeof revisions)[number]

/** Where the official runner is. */
export const runnerFolder = repositoryFile("node_modules/@modelcontextprotocol/conformance")

const Requirements = z.object({
  server: z.array(z.string()),
  not_scored: z.array(z.object({ scenario: z.string(), leg: z.enum(["server", "client"]), reason: z.string() })),
})

/** Names of scenarios for servers. */
export type Scenarios = {
  /** What a server of the revision must pass. */
  readonly required: readonly string[]
  /** What is of the revision too, but does not count, since the runner's own server does not pass it yet. */
  readonly unscored: readonly string[]
}

/** What the runner's own file of requirements says of servers. Extensions are left out: our server has none. */
export const readScenarios = (revision: Revision): Scenarios => {
  const text = readFileSync(`${runnerFolder}/requirements/${revision}.yaml`, "utf8")
  const { server, not_scored } = Requirements.parse(parse(text))
  const unscored = not_scored.filter(({ leg, reason }) => leg === "server" && reason !== "extension")
  return { required: server, unscored: unscored.map(({ scenario }) => scenario) }
}
