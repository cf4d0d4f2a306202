import { z } from "zod"
import { strings } from "./values.ts"

/** `kubernetes.bridge`: how the bridge gets to stdio servers. */
export const bridge = z.strictObject({
  image: z
    .string()
    .max(1024)
    .default("")
    .describe("Image of this program, for Pods of stdio servers; empty = only stdio servers that name a node run."),
  image_pull_secrets: strings(
    "Names of Secrets for the registry of the bridge's image, in the namespace of the instances.",
  ),
  delivery: z
    .enum(["auto", "image_volume", "copy"])
    .default("auto")
    .describe(
      "How the bridge gets into Pods: image_volume mounts its image (Kubernetes 1.35), copy copies it by an init container; auto = image_volume where the cluster serves it, else copy.",
    ),
  share_processes: z
    .boolean()
    .default(true)
    .describe(
      "Containers of a stdio server's Pod share their processes, so that orphans of the server are reaped. A sidecar of the same user id can then read the server's environment: false if your cluster injects such sidecars.",
    ),
})
