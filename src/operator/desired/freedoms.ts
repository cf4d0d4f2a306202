/** What a pod template took for a Pod that lowers its isolation: nothing of it is allowed unless the configuration names it. */
import type { MCPInstance } from "../../api/mcp-instance.ts"
import { type Pod, serverContainer } from "../../api/pod.ts"
import type { podFreedoms } from "../../config/schema.ts"

/** A freedom that kubernetes.allow_in_pods can name. */
export type PodFreedom = (typeof podFreedoms)[number]

type Fields = Readonly<Record<string, unknown>>

const record = (value: unknown): Fields => (typeof value === "object" && value !== null ? (value as Fields) : {})
const list = (value: unknown): readonly Fields[] => (Array.isArray(value) ? value.map(record) : [])

/** Everything that runs in the Pod, of whichever kind. */
const containersOf = (spec: Fields): readonly Fields[] =>
  ["containers", "initContainers", "ephemeralContainers"].flatMap((kind) => list(spec[kind]))

const securityOf = (container: Fields): Fields => record(container.securityContext)

/** Volumes that hold nothing of anybody else's. */
const harmlessVolumes: ReadonlySet<string> = new Set(["emptyDir", "downwardAPI"])

/** Volumes that name a Secret: their own source is one, or it is what opens the storage. */
const namesSecret = (volume: Fields): boolean =>
  [volume, ...Object.values(volume)].some((source) => Object.keys(record(source)).some((key) => /secret/i.test(key)))

/** Names of the Secrets that a container's environment is made of. */
const secretsInEnvironment = (container: Fields): readonly unknown[] => [
  ...list(container.envFrom).map((source) => record(source.secretRef).name),
  ...list(container.env).map((each) => record(record(each.valueFrom).secretKeyRef).name),
]

const volumeKinds = (spec: Fields): readonly string[] =>
  list(spec.volumes).flatMap((volume) => Object.keys(volume).filter((key) => key !== "name"))

const projects = (spec: Fields, source: string): boolean =>
  list(spec.volumes).some((volume) => list(record(volume.projected).sources).some((each) => each[source] !== undefined))

/** True if a container's environment is made of a ConfigMap: none is the instance's own. */
const takesConfigMap = ({ envFrom, env }: Fields): boolean =>
  list(envFrom).some(({ configMapRef }) => configMapRef !== undefined) ||
  list(env).some(({ valueFrom }) => record(valueFrom).configMapKeyRef !== undefined)

/** Requests that the node makes for a container: probes, and what is asked at its start and end. */
const nodeRequests = (container: Fields): readonly Fields[] =>
  [
    ...["startupProbe", "readinessProbe", "livenessProbe"].map((probe) => container[probe]),
    ...Object.values(record(container.lifecycle)),
  ].flatMap((handler) => [record(record(handler).httpGet), record(record(handler).tcpSocket)])

/** True if what the kernel checks besides users and capabilities is turned off or chosen. */
const isUnconfined = ({ appArmorProfile, seLinuxOptions, windowsOptions, procMount }: Fields): boolean =>
  record(appArmorProfile).type === "Unconfined" ||
  seLinuxOptions !== undefined ||
  windowsOptions !== undefined ||
  (procMount ?? "Default") !== "Default"

/** The same by annotation, as before there were fields for it. */
const isUnconfinedByName = ({ annotations }: Fields): boolean =>
  Object.entries(record(annotations)).some(
    ([name, value]) => /^container\.(apparmor|seccomp)\.security\./.test(name) && value === "unconfined",
  )

/** What a question is about: the Pod's spec and metadata, and whose Pod it is. */
type Question = (spec: Fields, instance: MCPInstance, metadata: Fields) => boolean

const takes: Readonly<Record<PodFreedom, Question>> = {
  hostPath: (spec) => volumeKinds(spec).includes("hostPath"),
  hostNetwork: (spec) =>
    spec.hostNetwork === true ||
    containersOf(spec).some((each) => nodeRequests(each).some(({ host }) => (host ?? "") !== "")),
  hostPID: (spec) => spec.hostPID === true || spec.shareProcessNamespace === true,
  hostIPC: (spec) => spec.hostIPC === true,
  hostPorts: (spec) =>
    containersOf(spec).some(({ ports }) => list(ports).some(({ hostPort }) => Number(hostPort ?? 0) > 0)),
  privileged: (spec, _instance, metadata) =>
    containersOf(spec).some((each) => securityOf(each).privileged === true || isUnconfined(securityOf(each))) ||
    isUnconfined(record(spec.securityContext)) ||
    isUnconfinedByName(metadata),
  capabilities: (spec) =>
    containersOf(spec).some((each) => list(record(securityOf(each).capabilities).add).length > 0) ||
    list(record(spec.securityContext).sysctls).some(({ name }) => name !== "net.ipv4.ip_unprivileged_port_start"),
  serviceAccountToken: (spec) =>
    (spec.serviceAccountName !== undefined && spec.serviceAccountName !== "default") ||
    spec.serviceAccount !== undefined ||
    projects(spec, "serviceAccountToken") ||
    projects(spec, "podCertificate"),
  otherSecrets: (spec, { spec: { secretName, imagePullSecrets = [] } }) =>
    containersOf(spec)
      .flatMap(secretsInEnvironment)
      .some((name) => name !== undefined && name !== secretName) ||
    containersOf(spec).some(takesConfigMap) ||
    list(spec.imagePullSecrets).some(({ name }) => !imagePullSecrets.some((own) => own === name)) ||
    list(spec.volumes).some(namesSecret) ||
    projects(spec, "secret"),
  otherContainers: (spec) => containersOf(spec).length !== 1 || containersOf(spec)[0]?.name !== serverContainer,
  otherVolumes: (spec) =>
    volumeKinds(spec).some((kind) => !harmlessVolumes.has(kind) && kind !== "hostPath" && kind !== "secret"),
}

/** The freedoms that a Pod takes, in the order of the configuration's list. */
export const freedomsOf = (pod: Pod, instance: MCPInstance): readonly PodFreedom[] =>
  (Object.keys(takes) as PodFreedom[]).filter((freedom) =>
    takes[freedom](pod.spec as Fields, instance, record(pod.metadata)),
  )
