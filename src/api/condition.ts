import { z } from "zod"

/** One condition of a status (Kubernetes API conventions, "Typical status properties"). */
export const Condition = z
  .object({
    type: z.string().max(64).describe("What the condition is about, in CamelCase."),
    status: z.enum(["True", "False", "Unknown"]).describe("True, False or Unknown."),
    reason: z.string().max(64).describe("Why, in one CamelCase word; docs/operate.md explains each."),
    message: z.string().max(1024).describe("What a person needs to know, and what to do."),
    observedGeneration: z.int().optional().describe("The metadata.generation this condition was computed from."),
    lastTransitionTime: z.string().max(64).describe("When status last changed (RFC 3339)."),
  })
  .describe("One aspect of the object's state.")
export type Condition = z.infer<typeof Condition>

/** The condition of a type, if it is there. */
export const findCondition = (conditions: readonly Condition[] | undefined, type: string): Condition | undefined =>
  conditions?.find((condition) => condition.type === type)

/** True if the condition of this type has status True. */
export const isTrue = (conditions: readonly Condition[] | undefined, type: string): boolean =>
  findCondition(conditions, type)?.status === "True"

/**
 * `conditions` with `next` put in its place by type. lastTransitionTime moves only when the status does, so equal
 * input gives an equal result and causes no write.
 */
export const withCondition = (
  conditions: readonly Condition[],
  next: Omit<Condition, "lastTransitionTime">,
  now: string,
): Condition[] => {
  const before = findCondition(conditions, next.type)
  const lastTransitionTime = before?.status === next.status ? before.lastTransitionTime : now
  const condition: Condition = { ...next, lastTransitionTime }
  return before === undefined
    ? [...conditions, condition]
    : conditions.map((each) => (each.type === next.type ? condition : each))
}
