/**
 * The bridge in an instance's Pod: a stdio server's command is run by the bridge, which speaks Streamable HTTP to the
 * gateway.
 */
import { parseDuration } from "../../api/duration.ts"
import { defaultMaxProcesses, defaultPath } from "../../api/kinds/container.ts"
import type { MCPInstanceSpec } from "../../api/kinds/mcp-instance.ts"
import type { Container } from "../../api/kinds/pod.ts"
import type { Settings } from "../snapshot.ts"

/** Subject keys of one user begin so (src/identity/subject-key.ts). A plugin's own keys may stand for several. */
const ofOneUser = "user:"

/** A value that Kubernetes passes on unchanged, instead of expanding `$(NAME)` in it. */
const unexpanded = (value: string): string => value.replaceAll("$", "$$$$")

const flagsOf = (spec: MCPInstanceSpec, settings: Settings, startMs: number): string[] => {
  const { processes = "per_session", maxProcesses = defaultMaxProcesses, idleTTL } = spec.stdio ?? {}
  const idleMs = parseDuration(idleTTL ?? spec.idleTTL ?? "") ?? settings.idle_ttl
  return [
    ...["--role", "bridge"],
    // nobody but this machine's gateway connects to the embedded cluster
    ...["--listen", settings.embedded ? "127.0.0.1:$(PORT)" : "*:$(PORT)"],
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

/** Why a stdio server cannot run here; undefined if it can. */
export const noBridge = ({ stdio }: Pick<MCPInstanceSpec, "stdio">, { bridge }: Settings): string | undefined =>
  stdio === undefined || bridge !== undefined ? undefined : "This operator has no bridge for stdio servers."

/**
 * Command line of a container whose server speaks MCP over stdin and stdout. `startMs`: how long a start may take,
 * milliseconds.
 */
export const bridgeCommandLine = (
  spec: MCPInstanceSpec,
  settings: Settings,
  startMs: number,
): Pick<Container, "command" | "args"> => ({
  command: [...(settings.bridge?.command ?? [])],
  args: [...flagsOf(spec, settings, startMs), "--", ...(spec.command ?? []), ...(spec.args ?? [])],
})
