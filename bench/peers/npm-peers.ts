/** The two bridges of the npm registry. They start the server themselves, and speak streamable HTTP to clients. */
import { join } from "node:path"
import type { Launch, Peer, Scene } from "./peer.ts"
import { pins } from "./pin.ts"

/** Both run on the Node that runs the comparison, as our gateway does. */
const launchOf = ({ installed, port, server }: Scene, program: string, args: readonly string[]): Launch => ({
  process: {
    command: process.execPath,
    args: [join(installed, "node_modules/.bin", program), ...args],
    ready: { port },
    apart: server,
  },
  url: `http://127.0.0.1:${port}/mcp`,
})

/** One server process for all clients; sessions, and an event store for streams that are resumed (its default). */
export const mcpProxy: Peer = {
  name: "mcp-proxy",
  pin: pins.mcpProxy,
  reaches: "stdio",
  does: "sessions of its own; parses and writes each message; keeps events for resumed streams",
  launch: async (scene) => {
    const args = ["--host", "127.0.0.1", "--port", String(scene.port), "--server", "stream"]
    return launchOf(scene, "mcp-proxy", [...args, "--", process.execPath, scene.server, "--stdio"])
  },
}

const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`

const launchSupergateway = (scene: Scene, log: readonly string[]): Launch => {
  const command = [process.execPath, scene.server, "--stdio"].map(quoted).join(" ")
  const output = ["--outputTransport", "streamableHttp", "--stateful", ...log]
  return launchOf(scene, "supergateway", ["--stdio", command, ...output, "--port", String(scene.port)])
}

/**
 * One server process for each session. Without `--stateful` it would start one for each request. Its log, which has
 * seven lines for each call, is off.
 */
export const supergateway: Peer = {
  name: "supergateway",
  pin: pins.supergateway,
  reaches: "stdio",
  does: "sessions, one server process each; parses and writes each message",
  launch: async (scene) => launchSupergateway(scene, ["--logLevel", "none"]),
}

/** The same with the log that it has by default. */
export const loggingSupergateway: Peer = { ...supergateway, launch: async (scene) => launchSupergateway(scene, []) }
