import type { MCPInstance } from "../../api/kinds/mcp-instance.ts"
import type { Decision, Hold, Wanted } from "../decide.ts"
import type { InstanceView } from "../know/instance-view.ts"
import type { Reach } from "../know/reachable.ts"
import type { Effects } from "../make/effects.ts"
import { capacityExceeded, sessionNotFound } from "../refusals.ts"
import type { InUseMarks } from "../use/in-use.ts"
import type { UseStamps } from "../use/last-used.ts"
import type { Visit } from "../visit.ts"
import type { Waiter, WaitingRoom } from "./waiting-room.ts"

/** Attends to requests that wait: carries out the decisions about them. */
export type Attendant = {
  /** Decides about a new waiter and carries the decision out. */
  enter(waiter: Waiter<Visit>): void
  /** Decides about all waiters of an instance again. Call it when something about the instance has changed. */
  attend(name: string): void
  /** Sets or removes this replica's in-use mark according to the requests that wait for the instance. */
  settleUse(name: string): void
}

/** Dependencies of the attendant. */
type AttendantDeps = {
  readonly room: WaitingRoom<Visit>
  readonly view: InstanceView
  readonly reach: Reach
  readonly marks: InUseMarks
  readonly stamps: UseStamps
  readonly effects: Effects
  readonly decide: (visit: Visit) => Decision
}

const creating: Hold = {
  verdict: "hold",
  reason: "Creating",
  message: "The instance is being created.",
  counts: false,
}

/** Makes the attendant; it does nothing until one of its functions is called. */
export const createAttendant = (deps: AttendantDeps): Attendant => {
  const { room, view, reach, marks, stamps, effects, decide } = deps

  const rejectAll = (name: string, error: unknown, which: (wanted: Wanted) => boolean = () => true): void => {
    for (const waiter of room.of(name)) if (which(waiter.question.wanted)) waiter.reject(error)
  }

  /**
   * Reads the instance from the API server. If it does not exist, waiters that may not create one get SessionNotFound.
   */
  const confirm = (name: string): void => {
    const finds = ({ mode }: Wanted): boolean => mode === "find"
    void view.confirm(name).then(
      (found) => {
        if (found === undefined) rejectAll(name, sessionNotFound(), finds)
        attend(name)
      },
      (error) => rejectAll(name, error),
    )
  }

  const create = ({ question: { request, seat } }: Waiter<Visit>): void => {
    const creates = ({ mode }: Wanted): boolean => mode === "create"
    void effects.create(request, seat).then(
      ({ instance, created }) => {
        attend(seat.name)
        if (created) marks.lead(instance.metadata.uid ?? "")
      },
      (error) => rejectAll(seat.name, error, creates),
    )
  }

  const act = (name: string, instance: MCPInstance | undefined, what: Hold["act"]): void => {
    if (what === "confirm") confirm(name)
    else if (what === "probe" && instance !== undefined) reach.ensure(instance)
    else if (what === "restart" && instance !== undefined)
      void effects.restart(instance).catch((error) => rejectAll(name, error))
  }

  const refuse = (
    waiter: Waiter<Visit>,
    instance: MCPInstance,
    decision: Extract<Decision, { verdict: "conflict" | "failed" }>,
  ): void => {
    if (decision.verdict === "conflict") waiter.reject(effects.conflict(instance))
    else void effects.failure(instance, decision.failure, waiter.question.request).then(waiter.reject)
  }

  const serve = (waiter: Waiter<Visit>): void => {
    const { name, question } = waiter
    const decision = decide(question)
    const instance = view.get(name)
    question.hold = decision.verdict === "hold" ? decision : undefined
    switch (decision.verdict) {
      case "warm":
        waiter.release()
        break
      case "hold":
        act(name, instance, decision.act)
        break
      case "create":
        question.hold = creating
        create(waiter)
        break
      case "gone":
        confirm(name)
        break
      case "full":
        waiter.reject(capacityExceeded(name, "QueueFull", decision.message))
        break
      default:
        if (instance !== undefined) refuse(waiter, instance, decision)
    }
  }

  const settleUse = (name: string): void => {
    const instance = view.get(name)
    const { uid } = instance?.metadata ?? {}
    if (instance === undefined || uid === undefined) return
    if (!room.has(name)) return void marks.endWait(uid)
    const holds = room.of(name).map(({ question }) => question.hold)
    const counts = holds.some((hold) => hold?.counts === true)
    const urgent = holds.some((hold) => hold?.urgent === true)
    if (counts && instance.status?.readyTime === undefined) stamps.expectReady(uid)
    marks.setWaiting({ name, uid }, counts, urgent)
  }

  const attend = (name: string): void => {
    for (const waiter of room.of(name)) serve(waiter)
    settleUse(name)
  }

  return {
    enter: (waiter) => {
      serve(waiter)
      settleUse(waiter.name)
    },
    attend,
    settleUse,
  }
}
