import { apiGroup } from "./kind.ts"

/** Our label and annotation keys. The prefix `mcp.reflow.io/` is reserved: pod templates cannot set it. */
export const labels = {
  /** Label: name of the target. */
  target: `${apiGroup}/target`,
  /** Label: name of the instance. */
  instance: `${apiGroup}/instance`,
  /** Label: name of the Pod, which the Service selects, so that a terminating Pod gets nothing. */
  pod: `${apiGroup}/pod`,
  /** Annotation: the readable subject, unless kubernetes.expose_subjects is false. */
  subject: `${apiGroup}/subject`,
  /** Annotation on an instance: names of the scope Secrets it was composed of (present or not), joined by commas. */
  credentialScopes: `${apiGroup}/credential-scopes`,
  /** Annotation on a Pod: hash of the instance's inputs that the Pod was made from. */
  inputsHash: `${apiGroup}/inputs-hash`,
  /** Annotation on a Pod: revision of the Pod defaults it was made with. */
  templateRevision: `${apiGroup}/template-revision`,
  /** Annotation on a Pod of the embedded cluster: the port that its node gave to the process. */
  nodePort: `${apiGroup}/node-port`,
  /** Label on a scope Secret: default, role, group or user. */
  scope: `${apiGroup}/scope`,
  /** Annotation on a scope Secret: when a gateway last wrote it (RFC 3339). */
  updatedTime: `${apiGroup}/updated-time`,
} as const

/** The labels that Kubernetes recommends, for every object we make. */
export const recommendedLabels = (instance: string): Readonly<Record<string, string>> => ({
  "app.kubernetes.io/name": "mcp-server",
  "app.kubernetes.io/managed-by": "reflow",
  "app.kubernetes.io/part-of": "reflow-gateway",
  "app.kubernetes.io/instance": instance,
})
