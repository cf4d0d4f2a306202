import { z } from "zod"

/** Kubernetes quantities as controller-gen writes their pattern, so that `cpu: banana` is refused. */
export const quantityPattern =
  /^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$/

/** A quantity: an integer or a string such as `100m` or `128Mi`. The CRD says int-or-string. */
const quantity = z
  .preprocess((value) => (typeof value === "number" ? String(value) : value), z.string().max(64).regex(quantityPattern))
  .meta({ "x-kubernetes-int-or-string": true, pattern: quantityPattern.source })

const quantities = (description: string) => z.record(z.string().max(63), quantity).optional().describe(description)

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
