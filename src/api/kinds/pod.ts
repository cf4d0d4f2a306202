import type { Kind, KubeObject, ObjectMeta } from "./kind.ts"

/** The fields of Kubernetes' own Pod that this program reads or writes (core/v1). */
export type Pod = KubeObject & {
  readonly metadata: ObjectMeta
  readonly spec: PodSpec
  readonly status?: PodStatus
}

export type PodSpec = {
  readonly containers: readonly Container[]
  readonly initContainers?: readonly Container[]
  readonly restartPolicy?: "Always" | "OnFailure" | "Never"
  readonly readinessGates?: readonly { readonly conditionType: string }[]
  readonly terminationGracePeriodSeconds?: number
  readonly automountServiceAccountToken?: boolean
  readonly enableServiceLinks?: boolean
  readonly shareProcessNamespace?: boolean
  readonly imagePullSecrets?: readonly { readonly name: string }[]
  readonly securityContext?: Readonly<Record<string, unknown>>
  readonly volumes?: readonly {
    readonly name: string
    readonly emptyDir?: Readonly<Record<string, unknown>>
    readonly image?: { readonly reference?: string; readonly pullPolicy?: string }
    readonly [kind: string]: unknown
  }[]
  readonly nodeName?: string
  readonly nodeSelector?: Readonly<Record<string, string>>
  readonly runtimeClassName?: string
  readonly tolerations?: readonly Readonly<Record<string, unknown>>[]
}

export type Container = {
  readonly name: string
  readonly image: string
  readonly imagePullPolicy?: string
  readonly command?: readonly string[]
  readonly args?: readonly string[]
  readonly env?: readonly { readonly name: string; readonly value?: string; readonly valueFrom?: EnvValueSource }[]
  readonly envFrom?: readonly EnvFromSource[]
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number; readonly protocol?: string }[]
  readonly resources?: Readonly<Record<string, unknown>>
  readonly securityContext?: Readonly<Record<string, unknown>>
  readonly startupProbe?: Probe
  readonly readinessProbe?: Probe
  readonly livenessProbe?: Probe
  /** Of an init container: `Always` makes it a sidecar container. */
  readonly restartPolicy?: string
  readonly lifecycle?: { readonly preStop?: { readonly sleep?: { readonly seconds: number } } }
  readonly volumeMounts?: readonly {
    readonly name: string
    readonly mountPath: string
    readonly subPath?: string
    readonly readOnly?: boolean
  }[]
  readonly terminationMessagePath?: string
  readonly terminationMessagePolicy?: string
}

type NameRef = { readonly name: string; readonly optional?: boolean }
type KeyRef = NameRef & { readonly key: string }

/** Where the value of a variable comes from: one of these sources, or another that Kubernetes has. */
export type EnvValueSource = {
  readonly secretKeyRef?: KeyRef
  readonly configMapKeyRef?: KeyRef
  readonly fieldRef?: { readonly fieldPath: string; readonly apiVersion?: string }
  readonly [kind: string]: unknown
}

/** A Secret or ConfigMap all of whose keys become variables, each named `prefix` + key. */
type EnvFromSource = {
  readonly prefix?: string
  readonly secretRef?: NameRef
  readonly configMapRef?: NameRef
}

export type Probe = {
  readonly httpGet?: {
    readonly path: string
    readonly port: number | string
    readonly httpHeaders?: readonly { readonly name: string; readonly value: string }[]
  }
  readonly tcpSocket?: { readonly port: number | string }
  readonly periodSeconds?: number
  readonly timeoutSeconds?: number
  readonly failureThreshold?: number
  readonly successThreshold?: number
  readonly initialDelaySeconds?: number
}

export type PodStatus = {
  readonly phase?: "Pending" | "Running" | "Succeeded" | "Failed" | "Unknown"
  readonly reason?: string
  readonly message?: string
  readonly podIP?: string
  readonly startTime?: string
  readonly conditions?: readonly PodCondition[]
  readonly containerStatuses?: readonly ContainerStatus[]
  readonly initContainerStatuses?: readonly ContainerStatus[]
}

export type PodCondition = {
  readonly type: string
  readonly status: string
  readonly reason?: string
  readonly message?: string
  readonly lastTransitionTime?: string
}

export type ContainerState = {
  readonly waiting?: { readonly reason?: string; readonly message?: string }
  readonly running?: { readonly startedAt?: string }
  readonly terminated?: {
    readonly exitCode: number
    readonly signal?: number
    readonly reason?: string
    readonly message?: string
    readonly startedAt?: string
    readonly finishedAt?: string
  }
}

export type ContainerStatus = {
  readonly name: string
  readonly ready: boolean
  readonly started?: boolean
  readonly restartCount: number
  readonly image?: string
  readonly imageID?: string
  readonly containerID?: string
  readonly state?: ContainerState
  readonly lastState?: ContainerState
}

/** Describes Pod to the cluster port. */
export const podKind: Kind<Pod> = { apiVersion: "v1", kind: "Pod", plural: "pods", statusSubresource: true }

/** Name of the container with the MCP server in the Pods of instances. */
export const serverContainer = "mcp"

/** Name of the init container that installs the package of a server. */
export const installerContainer = "reflow-package"
