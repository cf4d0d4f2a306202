import { annotationOf } from "../../api/kinds/kind.ts"
import type { MCPTarget } from "../../api/kinds/mcp-target.ts"
import { labels } from "../../api/names.ts"
import type { Placement } from "../port.ts"

/** Where and how one sharer's requests to a remote server go, by the credentials of some moment. */
export type Composed = {
  /** The state of the target that it was composed for. */
  readonly target: MCPTarget
  readonly placement: Placement
  /** When its reading began, milliseconds since the epoch. */
  readonly at: number
  /** When the first of the resolved values expires, milliseconds since the epoch. */
  readonly expiresAt?: number | undefined
}

/**
 * True if what was composed is also that of a later state of its target. Status and most annotations change nothing; they
 * make another object of the target, though.
 */
export const isCurrent = ({ target }: Pick<Composed, "target">, now: MCPTarget): boolean =>
  target === now ||
  (target.metadata.uid === now.metadata.uid &&
    target.metadata.generation === now.metadata.generation &&
    annotationOf(target, labels.restartedTime) === annotationOf(now, labels.restartedTime))

/** True if two states of a target lead to the same server with the same headers, and none is after a restart. */
export const hasSameServer = (before: MCPTarget, after: MCPTarget): boolean =>
  annotationOf(before, labels.restartedTime) === annotationOf(after, labels.restartedTime) &&
  (before.metadata.generation === after.metadata.generation ||
    JSON.stringify(before.spec.remote) === JSON.stringify(after.spec.remote))
