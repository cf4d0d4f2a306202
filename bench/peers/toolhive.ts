/** The two proxies of ToolHive that need no container runtime. */
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { stringify } from "yaml"
import type { Peer, Scene } from "./peer.ts"
import { pins } from "./pin.ts"

/**
 * It keeps its state in the scratch folder, and asks nobody for a newer version. `thv` refuses to start without a
 * container runtime, though `thv proxy` needs none; told that it is on Kubernetes, it asks for none.
 */
const variables = ({ scratch }: Scene): Readonly<Record<string, string>> => ({
  XDG_CONFIG_HOME: join(scratch, "config"),
  XDG_DATA_HOME: join(scratch, "data"),
  XDG_STATE_HOME: join(scratch, "state"),
  XDG_CACHE_HOME: join(scratch, "cache"),
  TOOLHIVE_RUNTIME: "kubernetes",
  TOOLHIVE_SKIP_UPDATE_CHECK: "true",
  TOOLHIVE_USAGE_METRICS_ENABLED: "false",
})

/** Forwards requests as they are; sessions are the server's. */
export const thvProxy: Peer = {
  name: "thv proxy",
  pin: pins.toolhive,
  reaches: "HTTP",
  does: "transparent: forwards requests, and notes the server's sessions",
  launch: async (scene) => {
    const { installed, port, upstream, scratch } = scene
    const listen = ["--host", "127.0.0.1", "--port", String(port)]
    return {
      process: {
        command: join(installed, "bin/thv"),
        args: ["proxy", "bench", "--target-uri", new URL(upstream).origin, ...listen],
        env: variables(scene),
        cwd: scratch,
        ready: { port },
      },
      url: `http://127.0.0.1:${port}/mcp`,
    }
  },
}

/** Configuration of `vmcp` for one server that is known beforehand, as text. */
export const vmcpConfiguration = (upstream: string): string =>
  stringify({
    name: "bench",
    groupRef: "bench",
    backends: [{ name: "bench", url: upstream, transport: "streamable-http" }],
    incomingAuth: { type: "anonymous" },
    outgoingAuth: { source: "inline", default: { type: "unauthenticated" } },
    aggregation: { conflictResolution: "prefix", conflictResolutionConfig: { prefixFormat: "{workload}_" } },
  })

/** Its own sessions in front of the server's; tools of several servers in one list. */
export const vmcp: Peer = {
  name: "vmcp",
  pin: pins.toolhive,
  reaches: "HTTP",
  does: "sessions of its own; parses and writes each message; one list of tools over all servers; no token is asked for",
  launch: async (scene) => {
    const { installed, port, upstream, scratch } = scene
    const configuration = join(scratch, "vmcp.yaml")
    await writeFile(configuration, vmcpConfiguration(upstream))
    return {
      process: {
        command: join(installed, "bin/vmcp"),
        args: ["serve", "--config", configuration, "--host", "127.0.0.1", "--port", String(port)],
        env: variables(scene),
        cwd: scratch,
        ready: { port },
      },
      url: `http://127.0.0.1:${port}/mcp`,
    }
  },
}
