import { globSync, readFileSync } from "node:fs"
import { join, matchesGlob } from "node:path"
import { z } from "zod"
import { configJsonSchema } from "../config/key-tree.ts"

type JsonSchema = z.core.JSONSchema.JSONSchema

/** A name as Kubernetes allows it for a namespace or a label's part. */
const label = () => z.string().regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/)
/** A name as Kubernetes allows it for Secrets, ConfigMaps and the like. */
const objectName = () => z.string().regex(/^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$/)
const orEmpty = <T extends z.ZodType>(type: T) => z.union([z.literal(""), type])
const texts = () => z.record(z.string().min(1), z.string())
const count = (least: number, most: number) => z.int().min(least).max(most)

const quantity = z.union([z.number().min(0), z.string().regex(/^[0-9]+(\.[0-9]+)?(m|[kMGTPE]|[KMGTPE]i)?$/)])
const quantities = z.record(z.string().min(1), quantity)

const toleration = z.strictObject({
  key: z.string().optional(),
  operator: z.enum(["Exists", "Equal", "Lt", "Gt"]).optional(),
  value: z.string().optional(),
  effect: z.enum(["", "NoSchedule", "PreferNoSchedule", "NoExecute"]).optional(),
  tolerationSeconds: z.int().optional(),
})

const variable = z.strictObject({
  name: z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/),
  value: z.string().optional(),
  valueFrom: z.looseObject({}).optional(),
})

const workload = {
  env: z.array(variable).optional().describe("Added to the container's environment."),
  envFrom: z.array(z.looseObject({})).optional().describe("ConfigMaps and Secrets whose keys become its environment."),
  resources: z
    .strictObject({ requests: quantities.optional(), limits: quantities.optional() })
    .optional()
    .describe("Requests and limits of the container; merged over those of manager/."),
  nodeSelector: texts().optional().describe("Labels of the nodes to run on."),
  tolerations: z.array(toleration).optional().describe("Taints of nodes that the Pods tolerate."),
  affinity: z
    .strictObject({
      nodeAffinity: z.looseObject({}).optional(),
      podAffinity: z.looseObject({}).optional(),
      podAntiAffinity: z.looseObject({}).optional(),
    })
    .optional()
    .describe("Which nodes and neighbours the Pods prefer."),
  topologySpreadConstraints: z
    .array(z.looseObject({ topologyKey: z.string().min(1) }))
    .optional()
    .describe("How the Pods are spread over nodes and zones; replaces the constraints of manager/."),
  priorityClassName: orEmpty(objectName()).optional().describe("Priority of the Pods; empty = the cluster's default."),
  podAnnotations: texts().optional().describe("Annotations of the Pods."),
  podLabels: texts().optional().describe("Further labels of the Pods."),
  volumes: z
    .array(z.looseObject({ name: label() }))
    .optional()
    .describe("Further volumes of the Pods."),
  volumeMounts: z
    .array(z.looseObject({ name: label(), mountPath: z.string().regex(/^\//) }))
    .optional()
    .describe("Where the further volumes are mounted."),
  serviceAccount: z
    .strictObject({ annotations: texts().optional().describe("Annotations, e.g. with a cloud provider's role.") })
    .optional()
    .describe("The ServiceAccount of this Deployment."),
}

const autoscaling = z
  .strictObject({
    enabled: z.boolean().optional().describe("Makes a HorizontalPodAutoscaler."),
    minReplicas: count(1, 1000).optional().describe("Fewest gateway replicas."),
    maxReplicas: count(1, 1000).optional().describe("Most gateway replicas."),
    targetCPUUtilizationPercentage: count(1, 100).optional().describe("Percent of the requested CPU to aim at."),
  })
  .optional()
  .describe("Adds gateway replicas when they are busy.")

const ingress = z
  .strictObject({
    enabled: z.boolean().optional().describe("Makes an Ingress for the host of config.gateway.public_url."),
    className: orEmpty(objectName()).optional().describe("Class of the Ingress; empty = the cluster's default."),
    annotations: texts().optional().describe("Annotations of the Ingress."),
  })
  .optional()
  .describe("Access for clients through an ingress controller.")

const parentRef = z.strictObject({
  name: objectName(),
  namespace: label().optional(),
  sectionName: z.string().optional(),
  port: count(1, 65_535).optional(),
  group: z.string().optional(),
  kind: z.string().optional(),
})

const httpRoute = z
  .strictObject({
    enabled: z.boolean().optional().describe("Makes an HTTPRoute of the Gateway API for the public host."),
    parentRefs: z.array(parentRef).optional().describe("The Gateways that the HTTPRoute attaches to."),
    annotations: texts().optional().describe("Annotations of the HTTPRoute."),
  })
  .optional()
  .describe("Access for clients through the Gateway API.")

const tls = z
  .strictObject({
    secretName: orEmpty(objectName()).optional().describe("Secret with the TLS certificate of the Ingress."),
    certManager: z
      .strictObject({
        enabled: z.boolean().optional().describe("Makes a Certificate of cert-manager for the public host."),
        issuerRef: z
          .strictObject({
            name: orEmpty(objectName()).optional().describe("Name of the issuer."),
            kind: z.enum(["Issuer", "ClusterIssuer"]).optional().describe("Kind of the issuer."),
          })
          .optional()
          .describe("The issuer that signs the certificate."),
      })
      .optional()
      .describe("A certificate from cert-manager."),
  })
  .optional()
  .describe("The certificate of the public host.")

const service = z
  .strictObject({
    type: z.enum(["ClusterIP", "NodePort", "LoadBalancer"]).optional().describe("Type of the Service."),
    port: count(1, 65_535).optional().describe("Port of the Service."),
    annotations: texts().optional().describe("Annotations of the Service."),
  })
  .optional()
  .describe("The Service that clients and ingresses reach.")

const image = z
  .strictObject({
    repository: z.string().min(1).optional().describe("Where the image is pulled from, without a tag."),
    tag: orEmpty(z.string().regex(/^[A-Za-z0-9_][-.A-Za-z0-9_]{0,127}$/))
      .optional()
      .describe("Tag of the image; empty = the chart's appVersion."),
    digest: orEmpty(z.string().regex(/^sha256:[0-9a-f]{64}$/))
      .optional()
      .describe("Digest of the image, used instead of the tag."),
    pullPolicy: z.enum(["Always", "IfNotPresent", "Never"]).optional().describe("When the image is pulled."),
  })
  .optional()
  .describe("The image of both roles.")

const namespaces = z
  .strictObject({
    instances: label().optional().describe("Namespace of targets, credentials and instances."),
    create: z.boolean().optional().describe("Creates the namespace of the instances, and labels it and the release's."),
  })
  .optional()
  .describe("The namespaces besides the release's.")

const plugins = z
  .strictObject({
    files: z
      .record(z.string().regex(/^[-._A-Za-z0-9]+$/), z.string())
      .optional()
      .describe("Files of plugins by name, mounted at /plugins."),
    configMap: orEmpty(objectName()).optional().describe("Name of a ConfigMap with the files, instead of `files`."),
  })
  .optional()
  .describe("Files of plugins.")

/** Schema of the chart's values, without the configuration file under `config`. */
export const chartValues = z.strictObject({
  global: z.looseObject({}).optional().describe("Helm's global values of a parent chart; not used."),
  image,
  imagePullSecrets: z
    .array(z.strictObject({ name: objectName() }))
    .optional()
    .describe("Secrets with the registry credentials for the image."),
  crds: z
    .strictObject({ install: z.boolean().optional().describe("Installs and upgrades the CRDs.") })
    .optional()
    .describe("The CRDs of MCPTarget and MCPInstance."),
  namespaces,
  podSecurityContext: z
    .union([z.null(), z.looseObject({})])
    .optional()
    .describe("securityContext of the Pods, instead of that of manager/; {} = none, null = that of manager/."),
  networkPolicies: z
    .strictObject({ enabled: z.boolean().optional().describe("Makes the NetworkPolicies.") })
    .optional()
    .describe("The NetworkPolicies of both namespaces."),
  plugins,
  operator: z
    .strictObject({
      replicas: z
        .union([z.null(), count(0, 10)])
        .optional()
        .describe("Number of replicas: one leads, the others stand by; null = not set by the chart."),
      ...workload,
    })
    .optional()
    .describe("The Deployment of the operator."),
  gateway: z
    .strictObject({
      enabled: z.boolean().optional().describe("False = the operator alone."),
      replicas: z
        .union([z.null(), count(0, 1000)])
        .optional()
        .describe("Number of replicas; null = not set by the chart, e.g. with autoscaling."),
      ...workload,
      service,
      autoscaling,
      ingress,
      httpRoute,
      tls,
    })
    .optional()
    .describe("The Deployment of the gateway, and how clients reach it."),
  serviceMonitor: z
    .strictObject({
      enabled: z.boolean().optional().describe("Makes ServiceMonitors."),
      interval: z
        .string()
        .regex(/^[0-9]+(ms|s|m|h)$/)
        .optional()
        .describe("How often Prometheus scrapes."),
      labels: texts().optional().describe("Labels by which a Prometheus selects them."),
    })
    .optional()
    .describe("For the Prometheus operator."),
})

/**
 * `value` without the schema keywords of this program, and without patterns that Go's regular expressions do not
 * support.
 */
const plain = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key, each]) => !["$schema", "allowed", "secret"].includes(key) || typeof each === "object")
      .filter(([key, each]) => key !== "pattern" || !String(each).includes("(?"))
      .map(([key, each]) => [key, plain(each)]),
  )
}

/**
 * The JSON Schema of the chart's values, for Helm and for editors. Draft 7, which all versions of Helm 3 and 4 support.
 * The configuration file under `config` has the program's own schema.
 */
export const chartValuesSchema = (): JsonSchema => {
  const schema = z.toJSONSchema(chartValues, { target: "draft-7", io: "input", reused: "inline" })
  const config = { ...(plain(configJsonSchema()) as JsonSchema), description: "The configuration file." }
  return { ...schema, properties: { ...schema.properties, config } }
}

/**
 * Folders of manifests that the chart installs too. The chart has copies, since Helm reads no file outside a chart's
 * folder.
 */
const folders = "{crd,rbac,manager}"

/**
 * The generated files of chart/: copies of crd/, rbac/ and manager/, and the schema of the values. A manifest in `made`
 * is copied from there; all others are read from the disk below `root`.
 */
export const chartFiles = (made: ReadonlyMap<string, string>, root: string): ReadonlyMap<string, string> => {
  const written = globSync(`${folders}/*.yaml`, { cwd: root }).map((path) => path.replaceAll("\\", "/"))
  const paths = [...new Set([...made.keys(), ...written])].filter((path) => matchesGlob(path, `${folders}/*`)).sort()
  const copies = paths.map((path) => [`chart/files/${path}`, made.get(path) ?? readFileSync(join(root, path), "utf8")])
  return new Map([
    ...(copies as [string, string][]),
    ["chart/values.schema.json", `${JSON.stringify(chartValuesSchema(), null, 2)}\n`],
  ])
}
