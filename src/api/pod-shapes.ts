/**
 * The shapes of a Pod of Kubernetes 1.36: a line for each, with its fields and their types; `!` = required, `[]` = a
 * list, `{}` = a map. Made by `npm run generate` of the models of @kubernetes/client-node; a change here is lost.
 */
export const podShapes = `
ResourceClaim name!:text request:text
AWSElasticBlockStoreVolumeSource fsType:text partition:int32 readOnly:boolean volumeID!:text
Affinity nodeAffinity:NodeAffinity podAffinity:PodAffinity podAntiAffinity:PodAntiAffinity
AppArmorProfile localhostProfile:text type!:text
AzureDiskVolumeSource cachingMode:text diskName!:text diskURI!:text fsType:text kind:text readOnly:boolean
AzureFileVolumeSource readOnly:boolean secretName!:text shareName!:text
CSIVolumeSource driver!:text fsType:text nodePublishSecretRef:LocalObjectReference readOnly:boolean volumeAttributes:text{}
Capabilities add:text[] drop:text[]
CephFSVolumeSource monitors!:text[] path:text readOnly:boolean secretFile:text secretRef:LocalObjectReference user:text
CinderVolumeSource fsType:text readOnly:boolean secretRef:LocalObjectReference volumeID!:text
ClusterTrustBundleProjection labelSelector:LabelSelector name:text optional:boolean path!:text signerName:text
ConfigMapEnvSource name:text optional:boolean
ConfigMapKeySelector key!:text name:text optional:boolean
ConfigMapProjection items:KeyToPath[] name:text optional:boolean
ConfigMapVolumeSource defaultMode:int32 items:KeyToPath[] name:text optional:boolean
Container args:text[] command:text[] env:EnvVar[] envFrom:EnvFromSource[] image:text imagePullPolicy:text lifecycle:Lifecycle livenessProbe:Probe name!:text ports:ContainerPort[] readinessProbe:Probe resizePolicy:ContainerResizePolicy[] resources:ResourceRequirements restartPolicy:text restartPolicyRules:ContainerRestartRule[] securityContext:SecurityContext startupProbe:Probe stdin:boolean stdinOnce:boolean terminationMessagePath:text terminationMessagePolicy:text tty:boolean volumeDevices:VolumeDevice[] volumeMounts:VolumeMount[] workingDir:text
ContainerPort containerPort!:int32 hostIP:text hostPort:int32 name:text protocol:text
ContainerResizePolicy resourceName!:text restartPolicy!:text
ContainerRestartRule action!:text exitCodes:ContainerRestartRuleOnExitCodes
ContainerRestartRuleOnExitCodes operator!:text values:int32[]
DownwardAPIProjection items:DownwardAPIVolumeFile[]
DownwardAPIVolumeFile fieldRef:ObjectFieldSelector mode:int32 path!:text resourceFieldRef:ResourceFieldSelector
DownwardAPIVolumeSource defaultMode:int32 items:DownwardAPIVolumeFile[]
EmptyDirVolumeSource medium:text sizeLimit:quantity
EnvFromSource configMapRef:ConfigMapEnvSource prefix:text secretRef:SecretEnvSource
EnvVar name!:text value:text valueFrom:EnvVarSource
EnvVarSource configMapKeyRef:ConfigMapKeySelector fieldRef:ObjectFieldSelector fileKeyRef:FileKeySelector resourceFieldRef:ResourceFieldSelector secretKeyRef:SecretKeySelector
EphemeralContainer args:text[] command:text[] env:EnvVar[] envFrom:EnvFromSource[] image:text imagePullPolicy:text lifecycle:Lifecycle livenessProbe:Probe name!:text ports:ContainerPort[] readinessProbe:Probe resizePolicy:ContainerResizePolicy[] resources:ResourceRequirements restartPolicy:text restartPolicyRules:ContainerRestartRule[] securityContext:SecurityContext startupProbe:Probe stdin:boolean stdinOnce:boolean targetContainerName:text terminationMessagePath:text terminationMessagePolicy:text tty:boolean volumeDevices:VolumeDevice[] volumeMounts:VolumeMount[] workingDir:text
EphemeralVolumeSource volumeClaimTemplate:PersistentVolumeClaimTemplate
ExecAction command:text[]
FCVolumeSource fsType:text lun:int32 readOnly:boolean targetWWNs:text[] wwids:text[]
FileKeySelector key!:text optional:boolean path!:text volumeName!:text
FlexVolumeSource driver!:text fsType:text options:text{} readOnly:boolean secretRef:LocalObjectReference
FlockerVolumeSource datasetName:text datasetUUID:text
GCEPersistentDiskVolumeSource fsType:text partition:int32 pdName!:text readOnly:boolean
GRPCAction port!:int32 service:text
GitRepoVolumeSource directory:text repository!:text revision:text
GlusterfsVolumeSource endpoints!:text path!:text readOnly:boolean
HTTPGetAction host:text httpHeaders:HTTPHeader[] path:text port!:int-or-text scheme:text
HTTPHeader name!:text value!:text
HostAlias hostnames:text[] ip!:text
HostPathVolumeSource path!:text type:text
ISCSIVolumeSource chapAuthDiscovery:boolean chapAuthSession:boolean fsType:text initiatorName:text iqn!:text iscsiInterface:text lun!:int32 portals:text[] readOnly:boolean secretRef:LocalObjectReference targetPortal!:text
ImageVolumeSource pullPolicy:text reference:text
KeyToPath key!:text mode:int32 path!:text
LabelSelector matchExpressions:LabelSelectorRequirement[] matchLabels:text{}
LabelSelectorRequirement key!:text operator!:text values:text[]
Lifecycle postStart:LifecycleHandler preStop:LifecycleHandler stopSignal:text
LifecycleHandler exec:ExecAction httpGet:HTTPGetAction sleep:SleepAction tcpSocket:TCPSocketAction
LocalObjectReference name:text
ManagedFieldsEntry apiVersion:text fieldsType:text fieldsV1:any manager:text operation:text subresource:text time:text
NFSVolumeSource path!:text readOnly:boolean server!:text
NodeAffinity preferredDuringSchedulingIgnoredDuringExecution:PreferredSchedulingTerm[] requiredDuringSchedulingIgnoredDuringExecution:NodeSelector
NodeSelector nodeSelectorTerms!:NodeSelectorTerm[]
NodeSelectorRequirement key!:text operator!:text values:text[]
NodeSelectorTerm matchExpressions:NodeSelectorRequirement[] matchFields:NodeSelectorRequirement[]
ObjectFieldSelector apiVersion:text fieldPath!:text
ObjectMeta annotations:text{} creationTimestamp:text deletionGracePeriodSeconds:int64 deletionTimestamp:text finalizers:text[] generateName:text generation:int64 labels:text{} managedFields:ManagedFieldsEntry[] name:text namespace:text ownerReferences:OwnerReference[] resourceVersion:text selfLink:text uid:text
OwnerReference apiVersion!:text blockOwnerDeletion:boolean controller:boolean kind!:text name!:text uid!:text
PersistentVolumeClaimSpec accessModes:text[] dataSource:TypedLocalObjectReference dataSourceRef:TypedObjectReference resources:VolumeResourceRequirements selector:LabelSelector storageClassName:text volumeAttributesClassName:text volumeMode:text volumeName:text
PersistentVolumeClaimTemplate metadata:ObjectMeta spec!:PersistentVolumeClaimSpec
PersistentVolumeClaimVolumeSource claimName!:text readOnly:boolean
PhotonPersistentDiskVolumeSource fsType:text pdID!:text
PodAffinity preferredDuringSchedulingIgnoredDuringExecution:WeightedPodAffinityTerm[] requiredDuringSchedulingIgnoredDuringExecution:PodAffinityTerm[]
PodAffinityTerm labelSelector:LabelSelector matchLabelKeys:text[] mismatchLabelKeys:text[] namespaceSelector:LabelSelector namespaces:text[] topologyKey!:text
PodAntiAffinity preferredDuringSchedulingIgnoredDuringExecution:WeightedPodAffinityTerm[] requiredDuringSchedulingIgnoredDuringExecution:PodAffinityTerm[]
PodCertificateProjection certificateChainPath:text credentialBundlePath:text keyPath:text keyType!:text maxExpirationSeconds:int32 signerName!:text userAnnotations:text{}
PodDNSConfig nameservers:text[] options:PodDNSConfigOption[] searches:text[]
PodDNSConfigOption name:text value:text
PodOS name!:text
PodReadinessGate conditionType!:text
PodResourceClaim name!:text resourceClaimName:text resourceClaimTemplateName:text
PodSchedulingGate name!:text
PodSchedulingGroup podGroupName:text
PodSecurityContext appArmorProfile:AppArmorProfile fsGroup:int64 fsGroupChangePolicy:text runAsGroup:int64 runAsNonRoot:boolean runAsUser:int64 seLinuxChangePolicy:text seLinuxOptions:SELinuxOptions seccompProfile:SeccompProfile supplementalGroups:int64[] supplementalGroupsPolicy:text sysctls:Sysctl[] windowsOptions:WindowsSecurityContextOptions
PodSpec activeDeadlineSeconds:int64 affinity:Affinity automountServiceAccountToken:boolean containers!:Container[] dnsConfig:PodDNSConfig dnsPolicy:text enableServiceLinks:boolean ephemeralContainers:EphemeralContainer[] hostAliases:HostAlias[] hostIPC:boolean hostNetwork:boolean hostPID:boolean hostUsers:boolean hostname:text hostnameOverride:text imagePullSecrets:LocalObjectReference[] initContainers:Container[] nodeName:text nodeSelector:text{} os:PodOS overhead:quantity{} preemptionPolicy:text priority:int32 priorityClassName:text readinessGates:PodReadinessGate[] resourceClaims:PodResourceClaim[] resources:ResourceRequirements restartPolicy:text runtimeClassName:text schedulerName:text schedulingGates:PodSchedulingGate[] schedulingGroup:PodSchedulingGroup securityContext:PodSecurityContext serviceAccount:text serviceAccountName:text setHostnameAsFQDN:boolean shareProcessNamespace:boolean subdomain:text terminationGracePeriodSeconds:int64 tolerations:Toleration[] topologySpreadConstraints:TopologySpreadConstraint[] volumes:Volume[]
PortworxVolumeSource fsType:text readOnly:boolean volumeID!:text
PreferredSchedulingTerm preference!:NodeSelectorTerm weight!:int32
Probe exec:ExecAction failureThreshold:int32 grpc:GRPCAction httpGet:HTTPGetAction initialDelaySeconds:int32 periodSeconds:int32 successThreshold:int32 tcpSocket:TCPSocketAction terminationGracePeriodSeconds:int64 timeoutSeconds:int32
ProjectedVolumeSource defaultMode:int32 sources:VolumeProjection[]
QuobyteVolumeSource group:text readOnly:boolean registry!:text tenant:text user:text volume!:text
RBDVolumeSource fsType:text image!:text keyring:text monitors!:text[] pool:text readOnly:boolean secretRef:LocalObjectReference user:text
ResourceFieldSelector containerName:text divisor:quantity resource!:text
ResourceRequirements claims:ResourceClaim[] limits:quantity{} requests:quantity{}
SELinuxOptions level:text role:text type:text user:text
ScaleIOVolumeSource fsType:text gateway!:text protectionDomain:text readOnly:boolean secretRef!:LocalObjectReference sslEnabled:boolean storageMode:text storagePool:text system!:text volumeName:text
SeccompProfile localhostProfile:text type!:text
SecretEnvSource name:text optional:boolean
SecretKeySelector key!:text name:text optional:boolean
SecretProjection items:KeyToPath[] name:text optional:boolean
SecretVolumeSource defaultMode:int32 items:KeyToPath[] optional:boolean secretName:text
SecurityContext allowPrivilegeEscalation:boolean appArmorProfile:AppArmorProfile capabilities:Capabilities privileged:boolean procMount:text readOnlyRootFilesystem:boolean runAsGroup:int64 runAsNonRoot:boolean runAsUser:int64 seLinuxOptions:SELinuxOptions seccompProfile:SeccompProfile windowsOptions:WindowsSecurityContextOptions
ServiceAccountTokenProjection audience:text expirationSeconds:int64 path!:text
SleepAction seconds!:int64
StorageOSVolumeSource fsType:text readOnly:boolean secretRef:LocalObjectReference volumeName:text volumeNamespace:text
Sysctl name!:text value!:text
TCPSocketAction host:text port!:int-or-text
Toleration effect:text key:text operator:text tolerationSeconds:int64 value:text
TopologySpreadConstraint labelSelector:LabelSelector matchLabelKeys:text[] maxSkew!:int32 minDomains:int32 nodeAffinityPolicy:text nodeTaintsPolicy:text topologyKey!:text whenUnsatisfiable!:text
TypedLocalObjectReference apiGroup:text kind!:text name!:text
TypedObjectReference apiGroup:text kind!:text name!:text namespace:text
Volume awsElasticBlockStore:AWSElasticBlockStoreVolumeSource azureDisk:AzureDiskVolumeSource azureFile:AzureFileVolumeSource cephfs:CephFSVolumeSource cinder:CinderVolumeSource configMap:ConfigMapVolumeSource csi:CSIVolumeSource downwardAPI:DownwardAPIVolumeSource emptyDir:EmptyDirVolumeSource ephemeral:EphemeralVolumeSource fc:FCVolumeSource flexVolume:FlexVolumeSource flocker:FlockerVolumeSource gcePersistentDisk:GCEPersistentDiskVolumeSource gitRepo:GitRepoVolumeSource glusterfs:GlusterfsVolumeSource hostPath:HostPathVolumeSource image:ImageVolumeSource iscsi:ISCSIVolumeSource name!:text nfs:NFSVolumeSource persistentVolumeClaim:PersistentVolumeClaimVolumeSource photonPersistentDisk:PhotonPersistentDiskVolumeSource portworxVolume:PortworxVolumeSource projected:ProjectedVolumeSource quobyte:QuobyteVolumeSource rbd:RBDVolumeSource scaleIO:ScaleIOVolumeSource secret:SecretVolumeSource storageos:StorageOSVolumeSource vsphereVolume:VsphereVirtualDiskVolumeSource
VolumeDevice devicePath!:text name!:text
VolumeMount mountPath!:text mountPropagation:text name!:text readOnly:boolean recursiveReadOnly:text subPath:text subPathExpr:text
VolumeProjection clusterTrustBundle:ClusterTrustBundleProjection configMap:ConfigMapProjection downwardAPI:DownwardAPIProjection podCertificate:PodCertificateProjection secret:SecretProjection serviceAccountToken:ServiceAccountTokenProjection
VolumeResourceRequirements limits:quantity{} requests:quantity{}
VsphereVirtualDiskVolumeSource fsType:text storagePolicyID:text storagePolicyName:text volumePath!:text
WeightedPodAffinityTerm podAffinityTerm!:PodAffinityTerm weight!:int32
WindowsSecurityContextOptions gmsaCredentialSpec:text gmsaCredentialSpecName:text hostProcess:boolean runAsUserName:text
`
