/**
 * The bridge in an instance's Pod: a stdio server's command is run by the bridge, which speaks Streamable HTTP to the
 * gateway.
 */
import { parseDuration } from "../../api/duration.ts"
import { defaultMaxProcesses, defaultPath, portOf } from "../../api/kinds/container.ts"
import type { MCPInstanceSpec } from "../../api/kinds/mcp-instance.ts"
import type { Settings } from "../snapshot.ts"
import type { BridgeDelivery } from "./bridge-delivery.ts"

/** Name of the volume and of the init container that bring the bridge. */
export const bridgeName = "reflow-bridge"

/** Where the bridge is in the server's container. */
export const bridgeFolder = "/reflow-bridge"

/** Name of the bridge's file in its ConfigMap. */
export const bridgeFile = "bridge.mjs"

/** Subject keys of one user begin so (src/identity/subject-key.ts). A plugin's own keys may stand for several. */
const ofOneUser = "user:"

/** A value that Kubernetes passes on unchanged, instead of expanding `$(NAME)` in it. */
const unexpanded = (value: string): string => value.replaceAll("$", "$$$$")

const flagsOf = (spec: MCPInstanceSpec, settings: Settings, startMs: number): string[] => {
  const { processes = "per_session", maxProcesses = defaultMaxProcesses, idleTTL } = spec.stdio ?? {}
  const idleMs = parseDuration(idleTTL ?? spec.idleTTL ?? "") ?? settings.idle_ttl
  return [
    ...["--role", "bridge"],
    // nobody but this machine's gateway connects to the embedded cluster, whose node chooses the port. On a cluster there
    // is no `$(NAME)` that would hide the runtime's messages (kubelet-message.ts)
    ...["--listen", settings.embedded ? "127.0.0.1:$(PORT)" : `*:${portOf(spec)}`],
    ...["--path", unexpanded(spec.path ?? defaultPath)],
    ...["--processes", processes],
    ...["--max-processes", String(maxProcesses)],
    ...["--idle-ttl", `${idleMs}ms`],
    ...["--start-timeout", `${startMs}ms`],
    ...(spec.subjectKey.startsWith(ofOneUser) ? ["--single-user"] : []),
    // no container ends the server's processes there
    ...(settings.embedded ? ["--guard"] : []),
  ]
}

/** How the bridge gets to the server of a spec; undefined if it speaks HTTP itself, or if the bridge cannot get there. */
export const deliveryOf = (
  { stdio }: Pick<MCPInstanceSpec, "stdio">,
  { bridge }: Settings,
): BridgeDelivery | undefined => (stdio === undefined ? undefined : bridge?.deliveryFor(stdio))

/** Why a stdio server cannot run here; undefined if it can. */
export const noBridge = (spec: Pick<MCPInstanceSpec, "stdio">, settings: Settings): string | undefined => {
  if (spec.stdio === undefined || deliveryOf(spec, settings) !== undefined) return undefined
  return "stdio needs the bridge: set kubernetes.bridge.image to the gateway's own image, or stdio.node to a Node in the server's image."
}

/** The loader and libraries beside the program let it start in an image of any libc, or of none. */
const programIn = (place: string): string[] => [`${place}/loader`, "--library-path", `${place}/lib`, `${place}/reflow`]

const commandOf = (delivery: BridgeDelivery, node: string): string[] => {
  switch (delivery.kind) {
    case "Local":
      return [...delivery.command]
    case "ConfigMap":
      return [unexpanded(node), `${bridgeFolder}/${bridgeFile}`]
    case "ImageVolume":
      return programIn(`${bridgeFolder}/bridge`)
    case "Copy":
      return programIn(bridgeFolder)
  }
}

/** What the command line of a bridge depends on. */
type BridgeLine = {
  readonly spec: MCPInstanceSpec
  readonly settings: Settings
  readonly delivery: BridgeDelivery
  /** How long a start may take, milliseconds. */
  readonly startMs: number
}

/** Command line of a container whose server speaks MCP over stdin and stdout. */
export const bridgeCommandLine = ({ spec, settings, delivery, startMs }: BridgeLine) => ({
  command: commandOf(delivery, spec.stdio?.node ?? "node"),
  args: [...flagsOf(spec, settings, startMs), "--", ...(spec.command ?? []), ...(spec.args ?? [])],
})
