import { z } from "zod"
import type { Rule } from "./kind.ts"

/** Kubernetes quantities as controller-gen writes their pattern, so that `cpu: banana` is refused. */
export const quantityPattern =
  /^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$/

/**
 * A quantity: a number or a text such as `100m` or `128Mi`. The CRD says int-or-string and the pattern; a rule with
 * better words would cost more than the API server allows.
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

/** Most resources that a container names. */
const maxResources = 16

/** The rule that the map of quantities at `path` is short. */
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

/** The resources of an instance whose target says nothing. */
export const defaultResources: Resources = {
  requests: { cpu: "100m", memory: "128Mi" },
  limits: { cpu: "500m", memory: "512Mi" },
}
