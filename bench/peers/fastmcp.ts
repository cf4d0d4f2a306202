/** The proxy of FastMCP, as its command line starts it. */
import { join } from "node:path"
import type { Peer } from "./peer.ts"
import { pins } from "./pin.ts"

/** Its log is at WARNING: at INFO it has a line for each request. */
export const fastmcp: Peer = {
  name: "fastmcp",
  pin: pins.fastmcp,
  reaches: "HTTP",
  does: "sessions of its own; parses and validates each message; for each call opens a session with the server, and ends it",
  launch: async ({ installed, port, upstream, scratch }) => {
    const listen = ["--transport", "http", "--host", "127.0.0.1", "--port", String(port)]
    return {
      process: {
        command: join(installed, "bin/fastmcp"),
        args: ["run", upstream, ...listen, "--no-banner", "--log-level", "WARNING"],
        env: { FASTMCP_CHECK_FOR_UPDATES: "off", FASTMCP_HOME: scratch },
        cwd: scratch,
        ready: { port },
        readyMs: 60_000,
      },
      url: `http://127.0.0.1:${port}/mcp`,
    }
  },
}
