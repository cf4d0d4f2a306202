import { globSync, readFileSync } from "node:fs"
import { join, matchesGlob } from "node:path"
import { z } from "zod"
import { configJsonSchema } from "../config/keys.ts"

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
    .describe("What the container requests and may use; merged over those of manager/."),
  nodeSelector: texts().optional().describe("Labels of the nodes to run on."),
  tolerations: z.array(toleration).optional().describe("Taints of nodes that the Pods bear."),
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
    .describe("How the Pods are spread; instead of those of manager/."),
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
    .describe("Where they are mounted."),
  serviceAccount: z
    .strictObject({ annotations: texts().optional().describe("E.g. the cloud role that it stands for.") })
    .optional()
    .describe("Of this role alone."),
}

const autoscaling = z
  .strictObject({
    enabled: z.boolean().optional().describe("Makes a HorizontalPodAutoscaler."),
    minReplicas: count(1, 1000).optional().describe("Fewest gateways."),
    maxReplicas: count(1, 1000).optional().describe("Most gateways."),
    targetCPUUtilizationPercentage: count(1, 100).optional().describe("Percent of the requested CPU to aim at."),
  })
  .optional()
  .describe("More gateways when they are busy.")

const ingress = z
  .strictObject({
    enabled: z.boolean().optional().describe("Makes an Ingress for the host of config.gateway.public_url."),
    className: orEmpty(objectName()).optional().describe("Its class; empty = the cluster's default."),
    annotations: texts().optional().describe("Its annotations."),
  })
  .optional()
  .describe("How clients come in by an ingress controller.")

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
    parentRefs: z.array(parentRef).optional().describe("The Gateways that take it."),
    annotations: texts().optional().describe("Its annotations."),
  })
  .optional()
  .describe("How clients come in by the Gateway API.")

const tls = z
  .strictObject({
    secretName: orEmpty(objectName()).optional().describe("Secret of the ingress' certificate."),
    certManager: z
      .strictObject({
        enabled: z.boolean().optional().describe("Makes a Certificate of cert-manager for the public host."),
        issuerRef: z
          .strictObject({
            name: orEmpty(objectName()).optional().describe("Name of the issuer."),
            kind: z.enum(["Issuer", "ClusterIssuer"]).optional().describe("Its kind."),
          })
          .optional()
          .describe("Who signs it."),
      })
      .optional()
      .describe("A certificate by cert-manager."),
  })
  .optional()
  .describe("The certificate of the public host.")

const service = z
  .strictObject({
    type: z.enum(["ClusterIP", "NodePort", "LoadBalancer"]).optional().describe("Its type."),
    port: count(1, 65_535).optional().describe("Its port."),
    annotations: texts().optional().describe("Its annotations."),
  })
  .optional()
  .describe("The Service that clients and ingresses reach.")

const image = z
  .strictObject({
    repository: z.string().min(1).optional().describe("Where the image is pulled from, without a tag."),
    tag: orEmpty(z.string().regex(/^[A-Za-z0-9_][-.A-Za-z0-9_]{0,127}$/))
      .optional()
      .describe("Its tag; empty = the chart's appVersion."),
    digest: orEmpty(z.string().regex(/^sha256:[0-9a-f]{64}$/))
      .optional()
      .describe("Its digest, instead of a tag."),
    pullPolicy: z.enum(["Always", "IfNotPresent", "Never"]).optional().describe("When it is pulled."),
  })
  .optional()
  .describe("The image of both roles.")

const namespaces = z
  .strictObject({
    instances: label().optional().describe("Where targets, credentials and instances live."),
    create: z.boolean().optional().describe("Makes that namespace, and labels both."),
  })
  .optional()
  .describe("The namespaces besides the release's.")

const plugins = z
  .strictObject({
    files: z
      .record(z.string().regex(/^[-._A-Za-z0-9]+$/), z.string())
      .optional()
      .describe("Files of plugins by name, mounted at /plugins."),
    configMap: orEmpty(objectName()).optional().describe("Instead, the ConfigMap that has them."),
  })
  .optional()
  .describe("Files of plugins.")

/** What may stand in the chart's values, but for the configuration file under `config`. */
export const chartValues = z.strictObject({
  global: z.looseObject({}).optional().describe("What Helm gives to a chart inside another one; unused."),
  image,
  imagePullSecrets: z
    .array(z.strictObject({ name: objectName() }))
    .optional()
    .describe("Secrets by which nodes pull the image."),
  crds: z
    .strictObject({ install: z.boolean().optional().describe("Installs and upgrades the kinds.") })
    .optional()
    .describe("The kinds MCPTarget and MCPInstance."),
  namespaces,
  podSecurityContext: z
    .union([z.null(), z.looseObject({})])
    .optional()
    .describe("securityContext of the Pods, instead of that of manager/; {} = none, null = that of manager/."),
  networkPolicies: z
    .strictObject({ enabled: z.boolean().optional().describe("Makes them.") })
    .optional()
    .describe("The NetworkPolicies of both namespaces."),
  plugins,
  operator: z
    .strictObject({
      replicas: z
        .union([z.null(), count(0, 10)])
        .optional()
        .describe("One leads, the others stand by; null = not the chart's."),
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
        .describe("How many; null = not the chart's, as with autoscaling."),
      ...workload,
      service,
      autoscaling,
      ingress,
      httpRoute,
      tls,
    })
    .optional()
    .describe("The Deployment of the gateway, and the ways to it."),
  serviceMonitor: z
    .strictObject({
      enabled: z.boolean().optional().describe("Makes ServiceMonitors."),
      interval: z
        .string()
        .regex(/^[0-9]+(ms|s|m|h)$/)
        .optional()
        .describe("How often Prometheus asks."),
      labels: texts().optional().describe("Labels by which a Prometheus selects them."),
    })
    .optional()
    .describe("For the Prometheus operator."),
})

/** Without words that only this program understands, and without patterns that Go's engine does not know. */
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
 * The JSON Schema of the chart's values: what Helm refuses, and what editors show. Draft 7, which every Helm 3 and 4 knows.
 * The configuration file under `config` has the program's own schema.
 */
export const chartValuesSchema = (): JsonSchema => {
  const schema = z.toJSONSchema(chartValues, { target: "draft-7", io: "input", reused: "inline" })
  const config = { ...(plain(configJsonSchema()) as JsonSchema), description: "The configuration file." }
  return { ...schema, properties: { ...schema.properties, config } }
}

/** Folders of manifests that the chart installs too; it has copies, since a chart reads no file outside its folder. */
const folders = "{crd,rbac,manager}"

/**
 * The generated files of chart/: copies of crd/, rbac/ and manager/, and the schema of the values. What stands in `made`
 * is copied from there, and the rest as it lies on the disk below `root`.
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
