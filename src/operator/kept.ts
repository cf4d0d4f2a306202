/**
 * What the operator keeps of Pods and Services. A Pod as the API server sends it has 8 KB; with thousands of instances,
 * most of the memory would be fields that nobody reads. The types have only the fields that are kept, so that no code can
 * read another one.
 */
import { apiGroup, type Kind, type KubeObject, type ObjectMeta } from "../api/kinds/kind.ts"
import { type Service, serviceKind } from "../api/kinds/kubernetes.ts"
import {
  type Container,
  type ContainerState,
  type ContainerStatus,
  type Pod,
  type PodCondition,
  type PodSpec,
  type PodStatus,
  podKind,
} from "../api/kinds/pod.ts"

type Metadata = Omit<ObjectMeta, "finalizers" | "generation" | "deletionGracePeriodSeconds">

/** An object of Kubernetes' own, with the metadata that is kept. Of its annotations only the program's own are kept. */
type Kept = Pick<KubeObject, "apiVersion" | "kind"> & { readonly metadata: Metadata }

type KeptState = {
  readonly waiting?: ContainerState["waiting"]
  readonly running?: Pick<NonNullable<ContainerState["running"]>, "startedAt">
  readonly terminated?: Pick<NonNullable<ContainerState["terminated"]>, "exitCode" | "reason" | "message" | "startedAt">
}

/** The fields of a container's status that the operator reads. */
export type KeptContainerStatus = Pick<ContainerStatus, "name" | "ready" | "started" | "restartCount"> & {
  readonly state?: KeptState
  readonly lastState?: Pick<KeptState, "terminated">
}

/** The fields of a container that the operator reads. */
export type KeptContainer = Pick<Container, "name" | "command" | "args" | "envFrom" | "volumeMounts">

/** The fields of a volume that the operator reads. */
type KeptVolume = { readonly name: string; readonly image?: { readonly reference?: string } }

/** The fields of a Pod that the operator reads. A {@link Pod} is one too. */
export type KeptPod = Kept & {
  readonly spec: Pick<PodSpec, "nodeName" | "readinessGates"> & {
    readonly containers: readonly KeptContainer[]
    readonly initContainers?: readonly Pick<Container, "name" | "restartPolicy">[]
    /** Those of images. */
    readonly volumes?: readonly KeptVolume[]
  }
  readonly status?: Pick<PodStatus, "phase" | "reason" | "message" | "podIP"> & {
    readonly conditions?: readonly PodCondition[]
    readonly containerStatuses?: readonly KeptContainerStatus[]
    readonly initContainerStatuses?: readonly KeptContainerStatus[]
  }
}

/** The fields of a Service that the operator reads. A {@link Service} is one too. */
export type KeptService = Kept & { readonly spec: Pick<Service["spec"], "clusterIP" | "selector" | "ports"> }

/** The named fields of an object; absent ones stay absent. */
const pick = <T extends object, K extends keyof T>(from: T, ...names: readonly K[]): Pick<T, K> => {
  const kept: Partial<Pick<T, K>> = {}
  for (const name of names) if (from[name] !== undefined) kept[name] = from[name]
  return kept as Pick<T, K>
}

/** `{ [name]: value }`, or no field if the value is undefined. */
const field = <K extends string, V>(name: K, value: V | undefined): { readonly [key in K]?: V } =>
  value === undefined ? {} : ({ [name]: value } as { readonly [key in K]?: V })

const ownAnnotations = (annotations: ObjectMeta["annotations"]): ObjectMeta["annotations"] =>
  annotations && Object.fromEntries(Object.entries(annotations).filter(([name]) => name.startsWith(`${apiGroup}/`)))

const keepMetadata = (metadata: ObjectMeta): Metadata => ({
  ...pick(metadata, "name", "namespace", "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp"),
  ...pick(metadata, "labels", "ownerReferences"),
  ...field("annotations", ownAnnotations(metadata.annotations)),
})

const keepState = ({ waiting, running, terminated }: ContainerState): KeptState => ({
  ...field("waiting", waiting && pick(waiting, "reason", "message")),
  ...field("running", running && pick(running, "startedAt")),
  ...field("terminated", terminated && pick(terminated, "exitCode", "reason", "message", "startedAt")),
})

const keepContainerStatus = (status: ContainerStatus): KeptContainerStatus => ({
  ...pick(status, "name", "ready", "started", "restartCount"),
  ...field("state", status.state && keepState(status.state)),
  ...field("lastState", status.lastState && pick(keepState(status.lastState), "terminated")),
})

const keepStatus = (status: PodStatus): NonNullable<KeptPod["status"]> => ({
  ...pick(status, "phase", "reason", "message", "podIP"),
  ...field(
    "conditions",
    status.conditions?.map((each) => pick(each, "type", "status", "reason", "message", "lastTransitionTime")),
  ),
  ...field("containerStatuses", status.containerStatuses?.map(keepContainerStatus)),
  ...field("initContainerStatuses", status.initContainerStatuses?.map(keepContainerStatus)),
})

const keepVolumes = (volumes: PodSpec["volumes"]): readonly KeptVolume[] | undefined => {
  const ofImages = volumes?.flatMap(({ name, image }) =>
    image === undefined ? [] : [{ name, image: pick(image, "reference") }],
  )
  return ofImages?.length === 0 ? undefined : ofImages
}

const keepPod = ({ apiVersion, kind, metadata, spec, status }: Pod): KeptPod => ({
  apiVersion,
  kind,
  metadata: keepMetadata(metadata),
  spec: {
    ...pick(spec, "nodeName", "readinessGates"),
    containers: spec.containers.map((each) => pick(each, "name", "command", "args", "envFrom", "volumeMounts")),
    ...field(
      "initContainers",
      spec.initContainers?.map((each) => pick(each, "name", "restartPolicy")),
    ),
    ...field("volumes", keepVolumes(spec.volumes)),
  },
  ...field("status", status && keepStatus(status)),
})

const keepService = ({ apiVersion, kind, metadata, spec }: Service): KeptService => ({
  apiVersion,
  kind,
  metadata: keepMetadata(metadata),
  spec: pick(spec, "clusterIP", "selector", "ports"),
})

/** Describes Pod to the cluster port; only {@link KeptPod} is kept of each answer. */
export const keptPodKind: Kind<KeptPod> = { ...podKind, keep: keepPod }

/** Describes Service to the cluster port; only {@link KeptService} is kept of each answer. */
export const keptServiceKind: Kind<KeptService> = { ...serviceKind, keep: keepService }
