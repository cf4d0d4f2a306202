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

/** Name of the installer's file in the same ConfigMap. */
export const installerFile = "install.mjs"

/** Subject keys of one user begin so (src/identity/subject-key.ts). A plugin's own keys may stand for several. */
const ofOneUser = "user:"

/** A value that Kubernetes passes on unchanged, instead of expanding `$(NAME)` in it. */
export const unexpanded = (value: string): string => value.replaceAll("$", "$$$$")

const flagsOf = ({ spec, settings, startMs, hintFile }: BridgeLine): string[] => {
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
    // what the installer left for whoever sees the server fail
    ...(hintFile === undefined ? [] : ["--hint-file", unexpanded(hintFile)]),
    ...(spec.subjectKey.startsWith(ofOneUser) ? ["--single-user"] : []),
    // no container ends the server's processes there
    ...(settings.embedded ? ["--guard"] : []),
  ]
}

type BridgedSpec = Pick<MCPInstanceSpec, "stdio" | "package">

/** A Node in the server's image; undefined = none is known. The runner image of npm packages has one. */
export const nodeOf = ({ stdio, package: named }: BridgedSpec): string | undefined =>
  stdio?.node ?? (named?.registryType === "npm" ? "node" : undefined)

/**
 * How the bridge gets to the server of a spec, or the installer to its package: they come in the same way. Undefined if
 * neither is needed, or if they cannot get there.
 */
export const deliveryOf = (spec: BridgedSpec, { bridge }: Settings): BridgeDelivery | undefined =>
  spec.stdio === undefined && spec.package === undefined ? undefined : bridge?.deliveryFor({ node: nodeOf(spec) })

/** Why a stdio server or a package cannot run here; undefined if it can. */
export const noBridge = (spec: BridgedSpec, settings: Settings): string | undefined => {
  const isNeeded = spec.stdio !== undefined || spec.package !== undefined
  if (!isNeeded || deliveryOf(spec, settings) !== undefined) return undefined
  if (spec.package !== undefined)
    return "package needs the installer: set kubernetes.bridge.image to the gateway's own image."
  return "stdio needs the bridge: set kubernetes.bridge.image to the gateway's own image, or stdio.node to a Node in the server's image."
}

/** The loader and libraries beside the program let it start in an image of any libc, or of none. */
const programIn = (place: string): string[] => [`${place}/loader`, "--library-path", `${place}/lib`, `${place}/reflow`]

/**
 * The command that starts a program which came with the bridge, without its flags. `file`: its bundle in the ConfigMap;
 * `local`: its command on the embedded cluster.
 */
export const deliveredCommand = (
  delivery: BridgeDelivery,
  { file, node, local }: { readonly file: string; readonly node: string; readonly local: readonly string[] },
): string[] => {
  switch (delivery.kind) {
    case "Local":
      return [...local]
    case "ConfigMap":
      return [unexpanded(node), `${bridgeFolder}/${file}`]
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
  /** The server's own command line. */
  readonly server: readonly string[]
  /** File with a hint for whoever sees the server fail; undefined = there is none. */
  readonly hintFile?: string | undefined
}

/** Command line of a container whose server speaks MCP over stdin and stdout. */
export const bridgeCommandLine = ({ spec, delivery, server, ...more }: BridgeLine) => ({
  command: deliveredCommand(delivery, {
    file: bridgeFile,
    node: nodeOf(spec) ?? "node",
    local: delivery.kind === "Local" ? delivery.command : [],
  }),
  args: [...flagsOf({ spec, delivery, server, ...more }), "--", ...server],
})
