import { type MCPInstance, mcpInstanceKind } from "../api/kinds/mcp-instance.ts"
import type { MCPTarget } from "../api/kinds/mcp-target.ts"
import { isRemote } from "../api/kinds/remote.ts"
import { type AppError, hasCode, isAppError } from "../errors.ts"
import { type Handshake, handshake } from "../mcp/client.ts"
import { type Answer, type Call, caughtUp, type Handler, requireTarget } from "./call.ts"
import { isVisible } from "./instances.ts"
import { orEmpty } from "./json-body.ts"
import { lastLines, maskedFor } from "./logs.ts"
import { EmptyInput, type TestResult } from "./resources.ts"
import type { TrialSeat } from "./trial-port.ts"
import { parseBody } from "./validation.ts"

/** How long a server may take for the whole handshake, in milliseconds. */
const handshakeMs = 20_000

/** Errors of a remote server that are a result of the test. */
const remoteFindings = ["AddressNotAllowed", "UpstreamLoginRejected", "UpstreamUntrusted"] as const

/** True for errors that are a result of the test. Others (full, starting, paused) do not concern the server. */
const isFinding = (error: unknown): error is AppError =>
  hasCode(error, "InstanceFailed", "CredentialMissing", "NameConflict", "PluginFailed", ...remoteFindings)

const instanceNamed = (call: Call, name: string): Promise<MCPInstance | undefined> =>
  call.deps.cluster.get(mcpInstanceKind, { namespace: call.deps.namespace, name }, { signal: call.signal })

const isText = (value: unknown): value is string => typeof value === "string"

/** The last lines of the server's log; empty if the caller may not see the instance, or the log cannot be read. */
const logOf = async (call: Call, name: string | undefined): Promise<readonly string[]> => {
  try {
    const instance = name === undefined ? undefined : await instanceNamed(call, name)
    return instance === undefined || !isVisible(call, instance) ? [] : await lastLines(call, instance)
  } catch (error) {
    if (isAppError(error)) return []
    throw error
  }
}

/** The beginning of a server's response, masked; empty if the caller may not see the instance, or masking fails. */
const shownOf = async (call: Call, name: string | undefined, said: string): Promise<{ readonly said?: string }> => {
  try {
    const instance = name === undefined ? undefined : await instanceNamed(call, name)
    return instance === undefined || !isVisible(call, instance) ? {} : { said: await maskedFor(call, instance, said) }
  } catch (error) {
    if (isAppError(error)) return {}
    throw error
  }
}

type FailedAt = { readonly step: "start" | "handshake"; readonly instance?: string | undefined }

/** What went wrong at a remote server: neither its log, nor its words, which may repeat a credential that it was sent. */
const toRemoteFailed = ({ code, message, data }: AppError, { step }: FailedAt): TestResult => {
  const { reason, status } = data ?? {}
  const known = { ...(isText(reason) ? { reason } : {}), ...(typeof status === "number" ? { status } : {}) }
  return { ok: false, error: { step, code, detail: message, log: [], ...known } }
}

const toFailed = async (call: Call, error: AppError, at: FailedAt): Promise<Answer> => {
  const { code, message, data } = error
  const { reason, log: known, status, said } = data ?? {}
  const instance = at.instance ?? (isText(data?.instance) ? data.instance : undefined)
  const given = Array.isArray(known) ? known.filter(isText) : []
  const log = given.length > 0 ? given : await logOf(call, instance)
  const body: TestResult = {
    ok: false,
    ...(instance === undefined ? {} : { instance }),
    error: {
      ...{ step: at.step, code, detail: message, ...(isText(reason) ? { reason } : {}), log: [...log] },
      ...(typeof status === "number" ? { status } : {}),
      ...(isText(said) ? await shownOf(call, instance, said) : {}),
    },
  }
  return { body, error }
}

/**
 * Waits until the status has all timings of the start: a server may answer before the operator has written the last.
 */
const untilTimed = ({ deps }: Call, instance: string): Promise<void> =>
  caughtUp(deps.instances, deps.clock, () => deps.instances.get(instance)?.status?.timings?.ready !== undefined)

/** The incarnation of each Ready instance of a target, by the instance's name. */
const incarnationsOf = ({ deps }: Call, target: MCPTarget): ReadonlyMap<string, string | undefined> =>
  new Map(
    [...deps.instances.items()]
      .filter(({ spec, status }) => spec.targetName === target.metadata.name && status?.phase === "Ready")
      .map(({ metadata, status }) => [metadata.name, status?.incarnation]),
  )

type Incarnations = ReturnType<typeof incarnationsOf>

/** What only an instance has: its name, whether it was started for the test, and how long its start took. */
const startOf = async (call: Call, target: MCPTarget, { instance }: TrialSeat, before: Incarnations) => {
  if (instance === undefined) return {}
  await untilTimed(call, instance)
  const incarnation = incarnationsOf(call, target).get(instance)
  const started = incarnation === undefined || before.get(instance) !== incarnation
  return { instance, started, timings: call.deps.instances.get(instance)?.status?.timings ?? {} }
}

const toPassed = (found: Handshake, seconds: number): TestResult => {
  const { era, protocolVersion, server, tools } = found
  return {
    ok: true,
    era,
    protocol_version: protocolVersion,
    ...(server === undefined ? {} : { server }),
    tools: [...tools],
    handshake_seconds: seconds,
  }
}

const tryServer = async (call: Call, target: MCPTarget): Promise<Answer> => {
  const { clock, trial } = call.deps
  const before = incarnationsOf(call, target)
  const failed = async (error: AppError, at: FailedAt): Promise<Answer> =>
    isRemote(target) ? { error, body: toRemoteFailed(error, at) } : await toFailed(call, error, at)
  let seat: TrialSeat
  try {
    seat = await trial.place(target, call.identity, call)
  } catch (error) {
    if (isFinding(error)) return await failed(error, { step: "start" })
    throw error
  }
  const begun = clock.now()
  try {
    const found = await handshake(seat.ask, AbortSignal.any([call.signal, AbortSignal.timeout(handshakeMs)]))
    const seconds = (clock.now() - begun) / 1_000
    return { body: { ...toPassed(found, seconds), ...(await startOf(call, target, seat, before)) } }
  } catch (error) {
    if (!isAppError(error)) throw error
    return await failed(error, { step: "handshake", instance: seat.instance })
  } finally {
    seat.end()
  }
}

/**
 * POST /api/targets/{id}/test: starts or finds the caller's instance and connects to it, or to the remote server, as an
 * MCP client does.
 */
export const testTarget: Handler = async (call) => {
  parseBody(EmptyInput, orEmpty(await call.body()))
  return await tryServer(call, await requireTarget(call))
}
