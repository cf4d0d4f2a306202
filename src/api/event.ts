import type { Kind, KubeObject, ObjectMeta } from "./kind.ts"

/** Kubernetes' own Event (core/v1), as `kubectl describe` shows it. */
export type Event = KubeObject & {
  readonly metadata: ObjectMeta
  readonly involvedObject: {
    readonly apiVersion?: string
    readonly kind?: string
    readonly namespace?: string
    readonly name?: string
    readonly uid?: string
  }
  readonly type?: string
  readonly reason?: string
  readonly message?: string
  readonly count?: number
  readonly firstTimestamp?: string
  readonly lastTimestamp?: string
  readonly source?: { readonly component?: string }
}

/** Describes Event to the cluster port. */
export const eventKind: Kind<Event> = { apiVersion: "v1", kind: "Event", plural: "events", statusSubresource: false }
