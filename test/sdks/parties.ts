import { join } from "node:path"
import { inject } from "vitest"
import { repositoryFile } from "../support/reflow.ts"
import { folderOf, type Language } from "./languages.ts"

/** The era in which a party speaks to one of the other column: of `initialize`, or of requests that stand alone. */
export type Era = "2025-11-25" | "2026-07-28"

/** A client or a server of an SDK: a program of ours made with it. */
export type Party = {
  readonly name: string
  /** Absent: TypeScript, which is always there. */
  readonly language?: Language
  readonly command: readonly string[]
  /** The newest revision that it speaks. */
  readonly newest: Era
  /** For a client: it tells the server, or leaves it, when a call is given up. For a server: it then stops its tool. */
  readonly cancels: boolean
}

/** A server, with what its process is told besides. */
export type ServerParty = Party & {
  readonly env?: Readonly<Record<string, string>>
  /** It keeps no sessions, so that clients of the older era can neither be asked nor give a call up. */
  readonly sessionless?: boolean
  /** It answers a GET with its first event only: a client that waits for the answer waits, without a gateway too. */
  readonly silentGet?: boolean
}

const file = (path: string): string => repositoryFile(join("test/sdks", path))
const python = (version: "v1" | "v2", path: string): string[] => [
  join(folderOf("python"), version, "bin/python"),
  // the repository gets no compiled files
  "-B",
  file(`python/${path}.py`),
]
const go = (program: string): string[] => [join(folderOf("go"), program)]
const java = (main: string): string[] => {
  const jars = `${join(folderOf("java"), "classes")}:${join(folderOf("java"), "lib/*")}`
  // small and quick to start, as its life is short
  return ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m", "-cp", jars, main]
}
const typescript = (library: string): string[] => [process.execPath, file("typescript/client.ts"), library]

const legacy = "2025-11-25"
const modern = "2026-07-28"

export const clients: readonly Party[] = [
  { name: "the TypeScript 1.x client", command: typescript("v1"), newest: legacy, cancels: true },
  { name: "the TypeScript 2.x client", command: typescript("auto"), newest: modern, cancels: true },
  {
    name: "the Python 1.x client",
    language: "python",
    command: python("v1", "clients/mcp1"),
    newest: legacy,
    cancels: true,
  },
  {
    name: "the Python 2.x client",
    language: "python",
    command: python("v2", "clients/mcp2"),
    newest: modern,
    cancels: true,
  },
  { name: "the Go client", language: "go", command: go("client"), newest: modern, cancels: true },
  // neither end of the Java SDK knows notifications/cancelled
  { name: "the Java client", language: "java", command: java("Client"), newest: legacy, cancels: false },
]

/** Servers by the names of their targets. */
export const servers: Readonly<Record<string, ServerParty>> = {
  typescript: {
    name: "a TypeScript 2.x server",
    command: ["node", repositoryFile("test/fixtures/servers/dual.mjs")],
    newest: modern,
    cancels: true,
  },
  csharp: {
    name: "a server that answers as C# does",
    command: ["node", file("csharp/server.mjs")],
    newest: legacy,
    cancels: true,
  },
  python1: {
    name: "a Python 1.x server",
    language: "python",
    command: python("v1", "servers/mcp1"),
    newest: legacy,
    cancels: true,
  },
  mounted: {
    name: "a Python 1.x server that Starlette redirects to",
    language: "python",
    command: python("v1", "servers/mcp1"),
    env: { MOUNT: "1" },
    newest: legacy,
    cancels: true,
  },
  python2: {
    name: "a Python 2.x server",
    language: "python",
    command: python("v2", "servers/mcp2"),
    newest: modern,
    cancels: true,
  },
  fastmcp2: {
    name: "a FastMCP 2 server",
    language: "python",
    command: python("v1", "servers/fastmcp2"),
    newest: legacy,
    cancels: true,
  },
  fastmcp4: {
    name: "a FastMCP 4 server",
    language: "python",
    command: python("v2", "servers/fastmcp4"),
    newest: modern,
    cancels: true,
  },
  go: { name: "a Go server", language: "go", command: go("server"), newest: legacy, cancels: true },
  sessionless: {
    name: "a Go server without sessions",
    language: "go",
    command: go("server"),
    env: { SESSIONLESS: "1" },
    newest: modern,
    cancels: true,
    sessionless: true,
  },
  java: {
    name: "a Java server",
    language: "java",
    command: java("Server"),
    newest: legacy,
    cancels: false,
    silentGet: true,
  },
  accepted: {
    name: "a Java server that says Accepted",
    language: "java",
    command: java("Server"),
    env: { ACCEPTED: "1" },
    newest: legacy,
    cancels: false,
    silentGet: true,
  },
}

/** True if this machine has what the party needs. */
export const isThere = ({ language }: Party): boolean =>
  language === undefined || inject("languages").includes(language)
