import type { MCPTarget } from "../api/kinds/mcp-target.ts"
import { AppError } from "../errors.ts"
import type { Identity } from "../identity/identity.ts"
import type { SubjectKey } from "../identity/subject-key.ts"
import type { Keyed, Permitted } from "./pipeline.ts"
import type { OpenSession, SessionSealer } from "./session/session.ts"

/** What keying asks: whose instance it is, and what a session id says. */
type KeyingDeps = {
  /** `requestId` is for the log. Throws SubjectKeyDenied. */
  readonly subjectKeyOf: (target: MCPTarget, identity: Identity, requestId: string) => SubjectKey | Promise<SubjectKey>
  readonly sealer: SessionSealer
}

type MaybeOpen = OpenSession | undefined

const opensSession = ({ messages: [first] }: Permitted): boolean =>
  first?.kind === "request" && first.method === "initialize"

const sessionOf = (input: Permitted, sealer: SessionSealer): MaybeOpen | Promise<MaybeOpen> => {
  const sealed = input.headers["mcp-session-id"]
  // the modern era has no sessions, and who opens one has none yet: clients send an old id, or an empty one
  if (sealed === undefined || input.era === "modern" || opensSession(input)) return undefined
  return sealer.open({ identity: input.identity, targetUID: targetUID(input.target) }, String(sealed))
}

/** The target's UID, which sessions are bound to. */
export const targetUID = (target: MCPTarget): string => {
  const { uid } = target.metadata
  if (uid === undefined) throw new AppError("Internal", { detail: "The target has no UID." })
  return uid
}

/** Only a POST makes an instance, and one with a session only if the target's sessions can be opened anew. */
const modeOf = (input: Permitted, session: OpenSession | undefined): "create" | "find" =>
  input.verb === "POST" && (session === undefined || input.target.spec.statefulness === "stateless") ? "create" : "find"

/** Finds out whose instance answers and opens the session, before anything is placed. Throws SessionNotFound. */
export const key = (deps: KeyingDeps) => {
  const withSession = (input: Permitted, session: MaybeOpen): Keyed | Promise<Keyed> => {
    const mode = modeOf(input, session)
    const subjectKey = deps.subjectKeyOf(input.target, input.identity, input.requestId)
    if (subjectKey instanceof Promise)
      return subjectKey.then((known) => ({ ...input, subjectKey: known, session, mode }))
    return { ...input, subjectKey, session, mode }
  }
  return (input: Permitted): Keyed | Promise<Keyed> => {
    const session = sessionOf(input, deps.sealer)
    if (session instanceof Promise) return session.then((opened) => withSession(input, opened))
    return withSession(input, session)
  }
}
