{{/*
The objects of crd/, rbac/ and manager/, with the namespaces and values of this release. files/ holds copies of those
folders (npm run generate). The result is a JSON list; see objects.yaml.
*/}}
{{- define "reflow.manifests" -}}
{{- $objects := list -}}
{{- range $path, $_ := .Files.Glob "files/*/*.yaml" -}}
{{- range regexSplit "(?m)^---$" ($.Files.Get $path) -1 -}}
{{- $object := include "reflow.placed" (dict "root" $ "object" (fromYaml .)) | fromJson -}}
{{- if and $object.kind (include "reflow.wanted" (dict "root" $ "object" $object)) -}}
{{- include "reflow.adapt" (dict "root" $ "object" $object) -}}
{{- $objects = append $objects $object -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $objects -}}
{{- end -}}

{{/*
An object with the namespaces of this release, and in Roles with the name of the release's Secret of session keys. The
namespace of the instances is replaced in two steps, since the release's own namespace may have the name `reflow`.
*/}}
{{- define "reflow.placed" -}}
{{- $json := toJson .object -}}
{{- range $key := list "namespace" "kubernetes.io/metadata.name" -}}
{{- $json = $json | replace (printf "%q:\"reflow\"" $key) (printf "%q:\"{instances}\"" $key) -}}
{{- end -}}
{{- if eq .object.kind "Namespace" -}}
{{- $json = $json | replace "\"name\":\"reflow\"" "\"name\":\"{instances}\"" -}}
{{- end -}}
{{- if eq .object.kind "Role" -}}
{{- $json = $json | replace "\"reflow-gateway-keys\"" (include "reflow.keysSecret" .root | quote) -}}
{{- end -}}
{{- $json | replace "\"reflow-system\"" (.root.Release.Namespace | quote) | replace "{instances}" .root.Values.namespaces.instances -}}
{{- end -}}

{{/* Not empty if the release includes the object. */}}
{{- define "reflow.wanted" -}}
{{- $values := .root.Values -}}
{{- $kind := .object.kind -}}
{{- if and (eq .object.metadata.name "reflow-gateway") (not $values.gateway.enabled) -}}
{{- else if eq $kind "CustomResourceDefinition" -}}
{{- if $values.crds.install }}yes{{ end -}}
{{- else if eq $kind "Namespace" -}}
{{- include "reflow.makesNamespace" (dict "root" .root "name" .object.metadata.name) -}}
{{- else if eq $kind "NetworkPolicy" -}}
{{- if $values.networkPolicies.enabled }}yes{{ end -}}
{{- else if eq $kind "PodDisruptionBudget" -}}
{{- if gt (include "reflow.leastGateways" .root | int) 1 }}yes{{ end -}}
{{- else -}}
yes
{{- end -}}
{{- end -}}

{{/*
Not empty if the release creates the namespace, or has created it. A namespace that existed before is not changed. Helm
itself creates the release's own namespace; only Helm 4 and newer accept it among the objects of the chart, too.
*/}}
{{- define "reflow.makesNamespace" -}}
{{- if .root.Values.namespaces.create -}}
{{- $found := lookup "v1" "Namespace" "" .name -}}
{{- $annotations := dig "metadata" "annotations" (dict) $found -}}
{{- $isOurs := and (eq (get $annotations "meta.helm.sh/release-name") .root.Release.Name) (eq (get $annotations "meta.helm.sh/release-namespace") .root.Release.Namespace) -}}
{{- $canLabel := or (ne .name .root.Release.Namespace) (semverCompare ">=4.0.0-0" .root.Capabilities.HelmVersion.Version) -}}
{{- if and $canLabel (or (not $found) $isOurs) }}yes{{ end -}}
{{- end -}}
{{- end -}}

{{/* Applies the values to an object, in place. */}}
{{- define "reflow.adapt" -}}
{{- $kind := .object.kind -}}
{{- $metadata := .object.metadata -}}
{{- $_ := set $metadata "labels" (merge (default (dict) $metadata.labels) (include "reflow.labels" .root | fromYaml)) -}}
{{- if has $kind (list "CustomResourceDefinition" "Namespace") -}}
{{- $_ := set $metadata "annotations" (merge (default (dict) $metadata.annotations) (dict "helm.sh/resource-policy" "keep")) -}}
{{- else if and (eq $kind "ConfigMap") (eq $metadata.name "reflow") -}}
{{- $_ := set .object.data "reflow.yaml" (include "reflow.config" .root) -}}
{{- else if eq $kind "Deployment" -}}
{{- include "reflow.adaptDeployment" . -}}
{{- else if eq $kind "ServiceAccount" -}}
{{- with (get .root.Values (trimPrefix "reflow-" $metadata.name)).serviceAccount.annotations }}{{ $_ := set $metadata "annotations" . }}{{ end -}}
{{- else if and (eq $kind "Service") (eq $metadata.name "reflow-gateway") -}}
{{- $service := .root.Values.gateway.service -}}
{{- with $service.annotations }}{{ $_ := set $metadata "annotations" . }}{{ end -}}
{{- if ne $service.type "ClusterIP" }}{{ $_ := set .object.spec "type" $service.type }}{{ end -}}
{{- $_ := set (first .object.spec.ports) "port" $service.port -}}
{{- else if eq $kind "NetworkPolicy" -}}
{{- include "reflow.adaptPolicy" . -}}
{{- end -}}
{{- end -}}

{{/*
Adds the networks of config.kubernetes.cluster_cidrs to the exceptions of each rule that allows all public addresses. The
API server refuses an exception outside the rule's network, so networks outside of it are skipped: the rule does not allow
them anyway. Public IPv6 is 2000::/3.
*/}}
{{- define "reflow.adaptPolicy" -}}
{{- $networks := dig "kubernetes" "cluster_cidrs" (list) .root.Values.config -}}
{{- range $rule := .object.spec.egress -}}
{{- range $peer := $rule.to -}}
{{- with $peer.ipBlock -}}
{{- $inside := get (dict "0.0.0.0/0" "^[0-9.]+/" "2000::/3" "^[23][0-9a-fA-F]{3}:") .cidr -}}
{{- if $inside -}}
{{- range $network := $networks -}}
{{- if regexMatch $inside $network }}{{ $_ := set $peer.ipBlock "except" (append $peer.ipBlock.except $network | uniq) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
