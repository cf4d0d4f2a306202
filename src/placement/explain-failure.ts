import type { MCPInstance } from "../api/kinds/mcp-instance.ts"
import { installerContainer } from "../api/kinds/pod.ts"
import { maskRead } from "../credentials/mask.ts"
import type { NeedleShare } from "../credentials/needle-share.ts"
import { readComposition } from "../credentials/secret.ts"
import { AppError } from "../errors.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { ClusterPort, LogQuery } from "../ports/cluster.ts"
import type { Logger } from "../ports/telemetry.ts"
import type { Failure } from "./decide.ts"

/** Most log lines in an error. */
const maxLogLines = 20
/** Most bytes of log in an error. */
const maxLogBytes = 4 * 1024
/** Most bytes that are read; more than are shown, so that secrets are masked before the text is cut. */
const maxReadBytes = 64 * 1024
/** Time limit for the log: without it in time the error is sent without log lines. */
const logTimeoutMs = 2_000

/** Dependencies of {@link toInstanceFailed}. */
type FailureDeps = {
  readonly cluster: ClusterPort
  readonly clock: ClockPort
  readonly log: Logger
  /** Prepares the secret values that are masked in the log. */
  readonly needles: NeedleShare
}

/** The last lines of a log that is masked already: at most 20 lines and 4 KiB, without blank lines. Pure. */
export const logTail = (text: string): string[] => {
  const lines = text.split("\n")
  const kept: string[] = []
  let bytes = 0
  for (const line of lines.reverse()) {
    if (line.trim() === "") continue
    // counted in characters first, so that one endless line is cut and not left out
    const shown = line.slice(-maxLogBytes / 4)
    bytes += Buffer.byteLength(shown) + 1
    if (kept.length === maxLogLines || bytes > maxLogBytes) break
    kept.unshift(shown)
  }
  return kept
}

/** The log of a container's run, and of the run before: one that has just begun has written nothing yet. */
const bothRuns = (query: LogQuery): readonly LogQuery[] => [query, { ...query, previous: true }]

const readLog = async (deps: FailureDeps, instance: MCPInstance, signal: AbortSignal): Promise<string[]> => {
  const { namespace = "" } = instance.metadata
  const name = instance.status?.podName
  if (name === undefined) return []
  const query = { tailLines: maxLogLines, limitBytes: maxReadBytes }
  const read = (part: Pick<LogQuery, "previous" | "container">) =>
    deps.cluster.podLogs({ namespace, name }, { ...query, ...part }, { signal }).catch(() => "")
  const isPackage = instance.spec.package !== undefined
  // all instances of a user share one quota, so that many failing ones do not take the quota of others
  const { subjectKey: owner } = instance.spec
  const secrets = await readComposition(deps.cluster, instance, { signal })
  if (secrets === undefined) return []
  const { needles, end } = await deps.needles.take(owner, secrets, signal)
  try {
    const parts = [...bothRuns({}), ...(isPackage ? bothRuns({ container: installerContainer }) : [])]
    let text = ""
    // a server whose package is not installed has no log: the installer's is the one that says why
    for (const part of parts) if (text.trim() === "") text = await read(part)
    return logTail(await maskRead(text, needles, { limitBytes: maxReadBytes, owner, signal }))
  } finally {
    end()
  }
}

/** The last log lines of an instance, secret values masked; empty if they cannot be read within two seconds. */
const recentLog = async (deps: FailureDeps, instance: MCPInstance, signal: AbortSignal): Promise<string[]> => {
  const limit = new AbortController()
  const cancel = deps.clock.timer(logTimeoutMs, () => limit.abort())
  const late = new Promise<string[]>((resolve) => limit.signal.addEventListener("abort", () => resolve([])))
  try {
    return await Promise.race([readLog(deps, instance, AbortSignal.any([signal, limit.signal])), late])
  } catch (error) {
    deps.log.debug("the log of a failed instance cannot be read", { instance: instance.metadata.name, error })
    return []
  } finally {
    cancel()
  }
}

/**
 * The error InstanceFailed for an instance that cannot run. `withLog`: add its last log lines, which only the
 * instance's single user may see. Never rejects.
 */
export const toInstanceFailed = async (
  deps: FailureDeps,
  instance: MCPInstance,
  failure: Failure,
  options: { readonly withLog: boolean; readonly signal: AbortSignal },
): Promise<AppError> => {
  const log = options.withLog ? await recentLog(deps, instance, options.signal) : []
  const { reason, message, exitCode } = failure
  return new AppError("InstanceFailed", {
    detail: `The server could not be started (${reason}): ${message}`,
    data: {
      reason,
      message,
      instance: instance.metadata.name,
      ...(exitCode === undefined ? {} : { exit_code: exitCode }),
      ...(log.length === 0 ? {} : { log }),
    },
  })
}
