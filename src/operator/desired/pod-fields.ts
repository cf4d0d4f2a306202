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

const kernel = (otherProfiles: string): FieldRules => ({
  seLinuxOptions: needs("privileged"),
  windowsOptions: needs("privileged"),
  appArmorProfile: needs("privileged", `Unconfined; others are ${otherProfiles}`, isUnconfined),
  seccompProfile: ours("RuntimeDefault"),
})

const podSecurity: FieldRules = {
  ...kernel("as the template says"),
  runAsUser: ours("the target's, or `kubernetes.run_as_user`"),
  runAsGroup: ours("the target's, or `kubernetes.run_as_user`"),
  runAsNonRoot: ours("the target's"),
  fsGroup: ours("the target's, or `kubernetes.run_as_user`"),
  fsGroupChangePolicy: author(),
  supplementalGroups: andNeeds(
    needs("supplementalGroups", "the second for group 0"),
    "rootGroup",
    (value) => Array.isArray(value) && value.some((group) => Number(group) === 0),
  ),
  supplementalGroupsPolicy: author(),
  sysctls: needs("capabilities", `but for \`${lowPortsName}\`, which is ours`, (value) =>
    records(value).some(({ name }) => name !== lowPortsName),
  ),
  seLinuxChangePolicy: author(),
}

const containerSecurity: FieldRules = {
  ...kernel("put back"),
  capabilities: object({
    add: needs("capabilities"),
    drop: ours("ALL, unless `capabilities` is allowed"),
  }),
  privileged: needs("privileged"),
  procMount: needs("privileged", "other than Default", isAnother("Default")),
  runAsUser: ours("the Pod's"),
  runAsGroup: ours("the Pod's"),
  runAsNonRoot: ours("the Pod's"),
  readOnlyRootFilesystem: ours("the target's"),
  allowPrivilegeEscalation: ours("false"),
}

const request = (fields: FieldRules): FieldRule =>
  object({ ...fields, port: author(), host: needs("hostNetwork", "the node asks another host than the Pod") })
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
  secretKeyRef: needs("otherSecrets", "but for the instance's own", isOtherSecret),
  fileKeyRef: author(),
})

const container: FieldRules = {
  name: author("the server's is `mcp`"),
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
    secretRef: needs("otherSecrets", "but for the instance's own", isOtherSecret),
  }),
  env: list({ name: text, value: text, valueFrom: envSource }),
  resources: object({ ...authors("limits requests"), claims: needs("resourceClaims") }),
  ...authors("resizePolicy restartPolicy restartPolicyRules"),
  volumeMounts: list({
    ...authors("name readOnly recursiveReadOnly mountPath subPath"),
    subPathExpr: needs("otherVolumes", "credentials could become names of folders"),
    mountPropagation: needs("privileged", "Bidirectional", (value) => value === "Bidirectional"),
  }),
  volumeDevices: needs("otherVolumes"),
  livenessProbe: probe,
  readinessProbe: probe,
  startupProbe: probe,
  lifecycle: object({ postStart: hook, preStop: hook, stopSignal: author() }),
  terminationMessagePath: ours("`/dev/termination-log`"),
  terminationMessagePolicy: ours("File: log lines stay in the log"),
  securityContext: object(containerSecurity),
  ...authors("stdin stdinOnce tty"),
}

const storage = andNeeds(needs("otherVolumes", "the second if it names a Secret"), "otherSecrets", namesSecret)
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
  containers: list(container, needs("otherContainers", "more than the server's", besideServer)),
  initContainers: list(container, needs("otherContainers")),
  ephemeralContainers: never("no new Pod has them"),
  volumes: list(volume),
  restartPolicy: author(),
  terminationGracePeriodSeconds: grace,
  activeDeadlineSeconds: author(),
  dnsPolicy: author("port 53 of every address is open to instances anyway"),
  dnsConfig: author("as dnsPolicy"),
  hostAliases: author("lines in the server's own `/etc/hosts`"),
  ...authors("hostname subdomain setHostnameAsFQDN hostnameOverride nodeSelector"),
  nodeName: needs("nodeName", "goes past the scheduler, and so past NoSchedule taints"),
  affinity: object({
    ...authors("nodeAffinity podAffinity"),
    podAntiAffinity: object({
      preferredDuringSchedulingIgnoredDuringExecution: author(),
      requiredDuringSchedulingIgnoredDuringExecution: needs("scheduling", "keeps others' Pods off nodes"),
    }),
  }),
  topologySpreadConstraints: author(),
  tolerations: list(
    authors("key operator value effect tolerationSeconds"),
    needs(
      "tolerations",
      "of every taint, and of taints of Kubernetes itself such as `node-role.kubernetes.io/…`",
      toleratesMuch,
    ),
  ),
  schedulerName: needs("scheduling", "other than default-scheduler", isAnother("default-scheduler")),
  schedulingGates: author(),
  workloadRef: needs("scheduling"),
  priorityClassName: needs("priority", "can put others' Pods off nodes"),
  priority: needs("priority"),
  preemptionPolicy: needs("priority", "other than Never", isAnother("Never")),
  serviceAccountName: needs("serviceAccountToken", "other than default", isAnother("default")),
  serviceAccount: needs("serviceAccountToken", "other than default", isAnother("default")),
  automountServiceAccountToken: ours("false"),
  imagePullSecrets: needs("otherSecrets", "but for the target's", isOtherPullSecret),
  hostNetwork: needs("hostNetwork"),
  hostPID: needs("hostPID"),
  hostIPC: needs("hostIPC"),
  hostUsers: author("false isolates more"),
  shareProcessNamespace: needs("hostPID"),
  securityContext: object(podSecurity),
  enableServiceLinks: ours("false: names of others' instances"),
  readinessGates: author(),
  runtimeClassName: author("a runtime that the cluster's administrator offers"),
  overhead: author("the API server wants the runtime class's"),
  os: never("instances are of Linux", (value) => record(value).name !== "linux"),
  resourceClaims: needs("resourceClaims", "devices of nodes"),
  resources: object({ ...authors("limits requests"), claims: needs("resourceClaims") }),
}
