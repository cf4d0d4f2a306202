import { z } from "zod"
import { durationPattern, parseDuration } from "./duration.ts"
import type { Rule } from "./kinds/kind.ts"

/** An expression of the Common Expression Language (CEL) that is true if the text `self` matches `pattern`. */
const matchesCEL = (self: string, pattern: RegExp): string => `${self}.matches(${JSON.stringify(pattern.source)})`

/**
 * A text that matches `pattern`. `message` says what the text must be. The CRD has the pattern a second time as a CEL
 * rule with this message, because the API server's own message for a pattern is only the pattern.
 */
export const form = (pattern: RegExp, maxLength: number, message: string) =>
  z
    .string()
    .max(maxLength)
    .regex(pattern, message)
    .meta({ "x-kubernetes-validations": [{ rule: matchesCEL("self", pattern), message }] })

/** A duration field of a kind; see {@link durationRule} for its lower bound. */
export const durationField = (description: string) =>
  form(durationPattern, 32, "must be a duration such as 30s, 10m or 1h30m").describe(description)

/** The rule that the duration at `path` is at least ten seconds. */
export const durationRule = (path: string): Rule => ({
  path,
  // for a text that is not a duration, duration() would fail; the field's own rule reports it
  cel: `!${matchesCEL("self", durationPattern)} || duration(self) >= duration('10s')`,
  message: "must be at least 10s",
  holds: (self: string) => (parseDuration(self) ?? 0) >= 10_000,
})

/** Pattern of Kubernetes quantities, as controller-gen writes it, so that `cpu: banana` is refused. */
export const quantityPattern =
  /^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$/

/**
 * A quantity: a number or a text such as `100m` or `128Mi`. The CRD has int-or-string and the pattern, but no CEL rule
 * with a better message, which would exceed the API server's cost limit.
 */
const quantity = z
  .preprocess(
    (value) => (typeof value === "number" ? String(value) : value),
    z.string().max(64).regex(quantityPattern, "must be a quantity such as 100m or 128Mi"),
  )
  .meta({
    "x-kubernetes-int-or-string": true,
    pattern: quantityPattern.source,
    description: "An amount such as 100m or 128Mi.",
  })

const quantities = (description: string) => z.record(z.string(), quantity).optional().describe(description)

/** Most resource names in requests and in limits of a container. */
const maxResources = 16

/** The rule that the map of quantities at `path` has at most {@link maxResources} entries. */
export const quantitiesRule = (path: string): Rule => ({
  path,
  cel: `size(self) <= ${maxResources}`,
  message: `must have at most ${maxResources} entries`,
  holds: (self: object) => Object.keys(self).length <= maxResources,
})

/** Requests and limits of the container (Kubernetes ResourceRequirements). */
export const Resources = z
  .object({
    requests: quantities("What the container is guaranteed, e.g. cpu: 100m, memory: 128Mi."),
    limits: quantities("What the container may use at most, e.g. cpu: 500m, memory: 512Mi."),
  })
  .describe("Requests and limits; defaults 100m/128Mi and 500m/512Mi.")
export type Resources = z.infer<typeof Resources>

/** The resources of an instance whose target sets none. */
export const defaultResources: Resources = {
  requests: { cpu: "100m", memory: "128Mi" },
  limits: { cpu: "500m", memory: "512Mi" },
}
