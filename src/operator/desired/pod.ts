import { parseDuration } from "../../api/duration.ts"
import { hintFileOf } from "../../api/install-report.ts"
import { portOf } from "../../api/kinds/container.ts"
import { controllerReference, type ObjectMeta } from "../../api/kinds/kind.ts"
import type { MCPInstance, MCPInstanceSpec } from "../../api/kinds/mcp-instance.ts"
import { type Container, type Pod, type Probe, podKind, serverContainer } from "../../api/kinds/pod.ts"
import { digest, labels, recommendedLabels } from "../../api/names.ts"
import { isRetained } from "../../signals/restart.ts"
import type { Settings } from "../snapshot.ts"
import { bridgeCommandLine, deliveryOf } from "./bridge.ts"
import type { BridgeDelivery } from "./bridge-delivery.ts"
import { type BridgeTerms, bridgeParts, withBridgeTerms, withoutBridgeTerms } from "./bridge-parts.ts"
import { joined, type OwnParts, withoutParts, withParts } from "./own-parts.ts"
import { imageOf, programLink, serverLine } from "./package.ts"
import { packageParts } from "./package-parts.ts"
import { checkExpanded, checkTaken } from "./permissions.ts"
import { messages, secured, securityOf } from "./pod-security.ts"
import { resourcesOf } from "./resources.ts"

/** The fields of an instance that its Pod is made from: a change of one of them needs another Pod. */
const inputs = [
  "image",
  "imagePullPolicy",
  "imagePullSecrets",
  "port",
  "command",
  "args",
  "env",
  "secretName",
  "healthPath",
  "hostHeader",
  "resources",
  "security",
  "podTemplates",
] as const satisfies readonly (keyof MCPInstanceSpec)[]

/** JSON with sorted keys and without undefined fields: equal for equal values. */
const stableJson = (value: unknown): string =>
  JSON.stringify(value, (_, each: unknown) =>
    typeof each === "object" && each !== null && !Array.isArray(each)
      ? Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1)))
      : each,
  )

/**
 * Hash of the instance's fields that its Pod is made from. It is not a hash of the rendered Pod: with that an upgrade
 * of the operator that changes defaults would replace all Pods at once. For a retained instance, restartTime counts
 * too, since a restart replaces its Pod.
 */
export const inputsHash = ({ metadata, spec }: Pick<MCPInstance, "metadata" | "spec">): string => {
  const isKept = isRetained({ metadata, spec })
  const known = hashes.get(spec)
  if (known?.isKept === isKept) return known.hash
  // the path is the bridge's own; a server that speaks HTTP has it in its code
  const ofStdio = spec.stdio === undefined ? [] : (["stdio", "path"] as const)
  const ofPackage = spec.package === undefined ? [] : (["package"] as const)
  const names = [...inputs, ...ofStdio, ...ofPackage, ...(isKept ? ["restartTime" as const] : [])]
  const hash = digest(20, stableJson(Object.fromEntries(names.map((name) => [name, spec[name]]))))
  hashes.set(spec, { isKept, hash })
  return hash
}

/**
 * The hashes of specs, whose objects never change. Three checks need it each time that an instance is looked at, once
 * a minute at least: a fifth of the CPU time of an operator at rest with 5,000 instances.
 */
const hashes = new WeakMap<MCPInstance["spec"], { readonly isKept: boolean; readonly hash: string }>()

const defined = (fields: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))

/** Raised when the defaults below change; a running Pod keeps the ones it was started with. */
const templateRevision = "4"

/** Seconds that a server still runs after its Pod was deleted or evicted (preStop), so that gateways notice first. */
const lingerSeconds = 2

/** Seconds between SIGTERM and SIGKILL. */
const graceSeconds = 10

/** Input for rendering a Pod. */
export type PodInput = { readonly instance: MCPInstance; readonly name: string; readonly settings: Settings }

/** The same, with how the bridge gets into the Pod: decided once, since the answer may change with time. */
type Rendering = PodInput & {
  readonly delivery: BridgeDelivery | undefined
  /** What brings the bridge and the server's package into the Pod. */
  readonly parts: OwnParts
}

/** How long a start of this instance may take, in milliseconds. */
export const startTimeoutOf = (spec: MCPInstanceSpec, settings: Settings): number =>
  parseDuration(spec.startTimeout ?? "") ?? settings.start_timeout

/** Labels of the Pods and the Service of an instance. */
export const childLabels = (instance: MCPInstance): Readonly<Record<string, string>> => ({
  ...recommendedLabels(instance.metadata.name),
  [labels.target]: instance.spec.targetName,
  [labels.instance]: instance.metadata.name,
})

const check = (spec: MCPInstanceSpec): Probe => {
  const { healthPath: path, hostHeader } = spec
  const port = portOf(spec)
  if (path === undefined) return { tcpSocket: { port } }
  if (hostHeader === undefined) return { httpGet: { path, port } }
  return { httpGet: { path, port, httpHeaders: [{ name: "Host", value: hostHeader }] } }
}

/**
 * The environment: PORT, always from the spec's port so that probe and server agree, HOME unless the spec's `env` sets
 * it, then the spec's `env`. PORT and HOME come first, since Kubernetes expands `$(NAME)` in a value only by variables
 * before it.
 */
const environment = ({ env = [], port }: Pick<MCPInstanceSpec, "env" | "port">): Container["env"] => [
  ...(env.some(({ name }) => name === "HOME") ? [] : [{ name: "HOME", value: "/tmp" }]),
  { name: "PORT", value: String(portOf({ port })) },
  ...env.filter(({ name }) => name !== "PORT"),
]

const probes = (spec: MCPInstanceSpec, settings: Settings): Pick<Container, "startupProbe" | "readinessProbe"> => ({
  startupProbe: {
    ...check(spec),
    periodSeconds: 1,
    timeoutSeconds: 2,
    failureThreshold: Math.ceil(startTimeoutOf(spec, settings) / 1000),
  },
  // long limits, since a long call must not make the server unready; no liveness probe, since that kills busy servers
  readinessProbe: { ...check(spec), periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 3 },
})

/** The container's command line: the server's own, or that of the bridge before it. */
const commandLine = ({ instance: { spec }, settings, delivery }: Rendering): Pick<Container, "command" | "args"> => {
  const { command, args } = serverLine(spec, settings)
  if (delivery === undefined || spec.stdio === undefined) return defined({ command, args })
  const server = [...(command ?? []), ...(args ?? [])]
  const hintFile = spec.package && hintFileOf(programLink(spec.package, settings))
  return bridgeCommandLine({ spec, settings, delivery, server, hintFile, startMs: startTimeoutOf(spec, settings) })
}

const container = (rendering: Rendering, spec: MCPInstanceSpec, settings: Settings): Container => ({
  name: serverContainer,
  image: imageOf(spec, settings),
  imagePullPolicy: spec.imagePullPolicy ?? "IfNotPresent",
  ...commandLine(rendering),
  env: environment(spec) ?? [],
  ...(spec.secretName === undefined ? {} : { envFrom: [{ secretRef: { name: spec.secretName } }] }),
  ports: [{ name: "mcp", containerPort: portOf(spec), protocol: "TCP" }],
  resources: resourcesOf(spec.resources),
  ...probes(spec, settings),
  volumeMounts: [{ name: "tmp", mountPath: "/tmp" }],
  // without it an eviction ends the server, and the calls on it, before gateways can know
  lifecycle: { preStop: { sleep: { seconds: lingerSeconds } } },
  ...messages,
})

const metadata = ({ instance, name }: Pick<PodInput, "instance" | "name">): ObjectMeta => ({
  name,
  ...(instance.metadata.namespace === undefined ? {} : { namespace: instance.metadata.namespace }),
})

const termsOf = ({ instance, settings: { bridge }, delivery }: Rendering): BridgeTerms => ({
  delivery,
  bridge,
  isStdio: instance.spec.stdio !== undefined,
})

/** The Pod with the operator's defaults, before pod templates and {@link withFloor}. */
const defaultPod = (input: Rendering): Pod => {
  const { instance, settings, parts } = input
  const { imagePullSecrets } = instance.spec
  const pod: Pod = {
    apiVersion: podKind.apiVersion,
    kind: podKind.kind,
    metadata: metadata(input),
    spec: {
      containers: [container(input, instance.spec, settings)],
      restartPolicy: "Always",
      terminationGracePeriodSeconds: lingerSeconds + graceSeconds,
      enableServiceLinks: false,
      volumes: [{ name: "tmp", emptyDir: {} }],
      ...(imagePullSecrets === undefined ? {} : { imagePullSecrets: imagePullSecrets.map((name) => ({ name })) }),
    },
  }
  return withBridgeTerms(withParts(pod, parts), termsOf(input))
}

/** Sets owner, labels, annotations and the least security on a Pod, and overwrites what templates set there. */
const withFloor = (pod: Pod, { instance, name, settings, delivery }: Rendering): Pod => ({
  apiVersion: podKind.apiVersion,
  kind: podKind.kind,
  metadata: {
    ...metadata({ instance, name }),
    labels: { ...pod.metadata.labels, ...childLabels(instance), [labels.pod]: name },
    annotations: {
      ...pod.metadata.annotations,
      [labels.inputsHash]: inputsHash(instance),
      [labels.templateRevision]: templateRevision,
      ...(delivery === undefined ? {} : { [labels.bridge]: delivery.kind }),
    },
    ownerReferences: [controllerReference(instance)],
  },
  spec: {
    ...pod.spec,
    automountServiceAccountToken: false,
    // else the environment would have the addresses of all other Services
    enableServiceLinks: false,
    securityContext: securityOf(pod.spec, instance, settings),
    ...secured("containers", pod, instance, settings),
    ...secured("initContainers", pod, instance, settings),
  },
})

/** Applies the instance's pod templates to the Pod, in order. Throws PluginFailed. */
const templated = (pod: Pod, input: Rendering): Pod => {
  const { instance, settings, parts } = input
  if ((instance.spec.podTemplates ?? []).length === 0) return pod
  const made = settings.template(pod, instance)
  checkTaken(withoutBridgeTerms(withoutParts(made, parts), termsOf(input)), instance, settings)
  checkExpanded(made)
  return made
}

/** The Pod that runs an instance's server. Throws PluginFailed if its pod templates fail or do what is not allowed. */
export const desiredPod = (input: PodInput): Pod => {
  const { instance, settings, name } = input
  const { spec } = instance
  const delivery = deliveryOf(spec, settings)
  const startMs = startTimeoutOf(spec, settings)
  const install = delivery && packageParts({ spec, settings, delivery, podName: name, startMs })
  const rendering = { ...input, delivery, parts: joined(bridgeParts(delivery), install) }
  return withFloor(templated(defaultPod(rendering), rendering), rendering)
}
