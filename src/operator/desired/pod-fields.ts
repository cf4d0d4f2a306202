/**
 * Every field of a Pod's spec and of a container in Kubernetes 1.35 (k8s.io/api/core/v1), with the rule for pod
 * templates that set it. A field that is not here is refused. docs/plugins.md shows this table.
 */
import type { MCPInstance } from "../../api/kinds/mcp-instance.ts"
import { serverContainer } from "../../api/kinds/pod.ts"
import {
  type Asks,
  andNeeds,
  author,
  type FieldRule,
  type FieldRules,
  list,
  needs,
  never,
  object,
  ours,
  record,
  records,
} from "./field-rule.ts"

/** The kernel setting (sysctl) that every Pod gets: without it servers that listen on port 80 get EACCES. */
export const lowPortsName = "net.ipv4.ip_unprivileged_port_start"

/** Longest grace period of a Pod, in seconds: its server holds credentials that may be withdrawn. */
const longestGrace = 3_600

/** Rules for several fields, separated by blanks, in which any value is allowed. */
const authors = (names: string): FieldRules => Object.fromEntries(names.split(" ").map((name) => [name, author()]))

/** Rules for texts in which Kubernetes expands `$(NAME)`: other types cannot be checked and are refused. */
const text = never("", (value) => typeof value !== "string")
const texts = never("", (value) => !Array.isArray(value) || value.some((each) => typeof each !== "string"))

const grace = never("at most an hour", (value) => Number(value) > longestGrace)

const isOtherSecret: Asks = (value, { spec }) => spec.secretName === undefined || record(value).name !== spec.secretName

const isOtherPullSecret: Asks = (value, { spec: { imagePullSecrets = [] } }: MCPInstance) =>
  records(value).some(({ name }) => !imagePullSecrets.some((own) => own === name))

/** Taints of Kubernetes itself: nodes of the control plane and nodes in trouble. */
const ownTaints =
  /^(node-role\.kubernetes\.io|node\.kubernetes\.io|node\.cloudprovider\.kubernetes\.io)\/|^CriticalAddonsOnly$/
/** Taints that every Pod tolerates for some minutes by default: templates may change the time. */
const lostNode = new Set(["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"])

const toleratesMuch: Asks = (value) =>
  records(value).some(({ key, effect }) => {
    if (typeof key !== "string" || key === "") return true
    return ownTaints.test(key) && !(lostNode.has(key) && effect === "NoExecute")
  })

const isUnconfined: Asks = (value) => record(value).type === "Unconfined"
const isAnother =
  (usual: string): Asks =>
  (value) =>
    value !== "" && value !== usual
const isPositive: Asks = (value) => Number(value) !== 0
const namesSecret: Asks = (value) => Object.keys(record(value)).some((key) => /secret/i.test(key))

const kernel: FieldRules = {
  seLinuxOptions: needs("privileged"),
  windowsOptions: needs("privileged"),
  appArmorProfile: needs("privileged", "only Unconfined", isUnconfined),
  seccompProfile: ours("RuntimeDefault"),
}

const podSecurity: FieldRules = {
  ...kernel,
  runAsUser: ours("the target's, or `kubernetes.run_as_user`"),
  runAsGroup: ours("the target's, or `kubernetes.run_as_user`"),
  runAsNonRoot: ours("the target's"),
  fsGroup: ours("the target's, or `kubernetes.run_as_user`"),
  fsGroupChangePolicy: author(),
  supplementalGroups: andNeeds(
    needs("supplementalGroups", "`rootGroup` only for group 0"),
    "rootGroup",
    (value) => Array.isArray(value) && value.some((group) => Number(group) === 0),
  ),
  supplementalGroupsPolicy: author(),
  sysctls: needs("capabilities", `except \`${lowPortsName}\`, which the operator sets`, (value) =>
    records(value).some(({ name }) => name !== lowPortsName),
  ),
  seLinuxChangePolicy: author(),
}

const containerSecurity: FieldRules = {
  ...kernel,
  appArmorProfile: needs(
    "privileged",
    "only Unconfined; without the permission the operator removes other profiles",
    isUnconfined,
  ),
  capabilities: object({
    add: needs("capabilities"),
    drop: ours("ALL, unless `capabilities` is allowed"),
  }),
  privileged: needs("privileged"),
  procMount: needs("privileged", "values other than Default", isAnother("Default")),
  runAsUser: ours("the Pod's"),
  runAsGroup: ours("the Pod's"),
  runAsNonRoot: ours("the Pod's"),
  readOnlyRootFilesystem: ours("the target's"),
  allowPrivilegeEscalation: ours("false"),
}

const request = (fields: FieldRules): FieldRule =>
  object({ ...fields, port: author(), host: needs("hostNetwork", "the node would probe another host than the Pod") })
const httpGet = request(authors("path scheme httpHeaders"))
const tcpSocket = request({})

const probe = object({
  exec: author(),
  httpGet,
  tcpSocket,
  ...authors("grpc initialDelaySeconds timeoutSeconds periodSeconds successThreshold failureThreshold"),
  terminationGracePeriodSeconds: grace,
})

const hook = object({ exec: author(), httpGet, tcpSocket, sleep: author() })

const envSource = object({
  ...authors("fieldRef resourceFieldRef"),
  configMapKeyRef: needs("otherSecrets"),
  secretKeyRef: needs("otherSecrets", "except the instance's own Secret", isOtherSecret),
  fileKeyRef: author(),
})

const container: FieldRules = {
  name: author("the server's container is `mcp`"),
  ...authors("image imagePullPolicy workingDir"),
  command: texts,
  args: texts,
  ports: list({
    ...authors("name containerPort protocol"),
    hostPort: needs("hostPorts", "", isPositive),
    hostIP: needs("hostPorts"),
  }),
  envFrom: list({
    prefix: author(),
    configMapRef: needs("otherSecrets"),
    secretRef: needs("otherSecrets", "except the instance's own Secret", isOtherSecret),
  }),
  env: list({ name: text, value: text, valueFrom: envSource }),
  resources: object({ ...authors("limits requests"), claims: needs("resourceClaims") }),
  ...authors("resizePolicy restartPolicy restartPolicyRules"),
  volumeMounts: list({
    ...authors("name readOnly recursiveReadOnly mountPath subPath"),
    subPathExpr: needs("otherVolumes", "a credential could become the name of a folder"),
    mountPropagation: needs("privileged", "only Bidirectional", (value) => value === "Bidirectional"),
  }),
  volumeDevices: needs("otherVolumes"),
  livenessProbe: probe,
  readinessProbe: probe,
  startupProbe: probe,
  lifecycle: object({ postStart: hook, preStop: hook, stopSignal: author() }),
  terminationMessagePath: ours("`/dev/termination-log`"),
  terminationMessagePolicy: ours("File, so that log lines stay in the log"),
  securityContext: object(containerSecurity),
  ...authors("stdin stdinOnce tty"),
}

const storage = andNeeds(needs("otherVolumes", "`otherSecrets` only if it names a Secret"), "otherSecrets", namesSecret)
const kinds = (names: string): FieldRules => Object.fromEntries(names.split(" ").map((name) => [name, storage]))

const volume: FieldRules = {
  ...authors("name emptyDir downwardAPI"),
  hostPath: needs("hostPath"),
  gitRepo: needs("privileged", "the node runs git as root"),
  secret: needs("otherSecrets"),
  configMap: needs("otherVolumes"),
  projected: object(
    {
      sources: list({
        secret: needs("otherSecrets"),
        ...authors("downwardAPI configMap"),
        serviceAccountToken: needs("serviceAccountToken"),
        clusterTrustBundle: author(),
        podCertificate: needs("serviceAccountToken"),
      }),
      defaultMode: author(),
    },
    needs("otherVolumes"),
  ),
  image: needs("otherVolumes"),
  persistentVolumeClaim: needs("otherVolumes"),
  ephemeral: needs("otherVolumes"),
  ...kinds("csi nfs iscsi fc rbd cephfs cinder glusterfs flexVolume flocker quobyte portworxVolume scaleIO storageos"),
  ...kinds("azureFile azureDisk awsElasticBlockStore gcePersistentDisk photonPersistentDisk vsphereVolume"),
}

const besideServer = (value: unknown): boolean =>
  !Array.isArray(value) || value.length !== 1 || record(value[0]).name !== serverContainer

/** The rules for a Pod's spec. */
export const podSpecFields: FieldRules = {
  containers: list(container, needs("otherContainers", "containers besides the server's", besideServer)),
  initContainers: list(container, needs("otherContainers")),
  ephemeralContainers: never("a new Pod cannot have them"),
  volumes: list(volume),
  restartPolicy: author(),
  terminationGracePeriodSeconds: grace,
  activeDeadlineSeconds: author(),
  dnsPolicy: author("instances can reach port 53 of every address anyway"),
  dnsConfig: author("see dnsPolicy"),
  hostAliases: author("these are lines in the server's own `/etc/hosts`"),
  ...authors("hostname subdomain setHostnameAsFQDN hostnameOverride nodeSelector"),
  nodeName: needs("nodeName", "bypasses the scheduler and NoSchedule taints"),
  affinity: object({
    ...authors("nodeAffinity podAffinity"),
    podAntiAffinity: object({
      preferredDuringSchedulingIgnoredDuringExecution: author(),
      requiredDuringSchedulingIgnoredDuringExecution: needs("scheduling", "can keep other Pods off nodes"),
    }),
  }),
  topologySpreadConstraints: author(),
  tolerations: list(
    authors("key operator value effect tolerationSeconds"),
    needs(
      "tolerations",
      "tolerations of every taint, and of taints of Kubernetes itself such as `node-role.kubernetes.io/…`",
      toleratesMuch,
    ),
  ),
  schedulerName: needs("scheduling", "values other than default-scheduler", isAnother("default-scheduler")),
  schedulingGates: author(),
  workloadRef: needs("scheduling"),
  priorityClassName: needs("priority", "can evict other Pods"),
  priority: needs("priority"),
  preemptionPolicy: needs("priority", "values other than Never", isAnother("Never")),
  serviceAccountName: needs("serviceAccountToken", "values other than default", isAnother("default")),
  serviceAccount: needs("serviceAccountToken", "values other than default", isAnother("default")),
  automountServiceAccountToken: ours("false"),
  imagePullSecrets: needs("otherSecrets", "except the target's", isOtherPullSecret),
  hostNetwork: needs("hostNetwork"),
  hostPID: needs("hostPID"),
  hostIPC: needs("hostIPC"),
  hostUsers: author("the value false isolates more"),
  shareProcessNamespace: needs("hostPID"),
  securityContext: object(podSecurity),
  enableServiceLinks: ours("false, because the links name other users' instances"),
  readinessGates: author(),
  runtimeClassName: author("the cluster's administrator decides which runtimes exist"),
  overhead: author("the API server requires the value of the runtime class"),
  os: never("instances run on Linux only", (value) => record(value).name !== "linux"),
  resourceClaims: needs("resourceClaims", "they name devices of nodes"),
  resources: object({ ...authors("limits requests"), claims: needs("resourceClaims") }),
}
