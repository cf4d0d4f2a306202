{{/* Applies the values of its role to a Deployment, in place. */}}
{{- define "reflow.adaptDeployment" -}}
{{- $spec := .object.spec -}}
{{- $role := trimPrefix "reflow-" .object.metadata.name -}}
{{- $values := get .root.Values $role -}}
{{- $metadata := $spec.template.metadata -}}
{{- if or (kindIs "invalid" $values.replicas) (and (eq $role "gateway") $values.autoscaling.enabled) -}}
{{- $_ := unset $spec "replicas" -}}
{{- else -}}
{{- $_ := set $spec "replicas" $values.replicas -}}
{{- end -}}
{{- $_ := set $metadata "labels" (merge $metadata.labels (default (dict) $values.podLabels)) -}}
{{- $annotations := merge (include "reflow.checksum" .root | fromYaml) (default (dict) $values.podAnnotations) -}}
{{- with $annotations }}{{ $_ := set $metadata "annotations" . }}{{ end -}}
{{- include "reflow.adaptPod" (dict "root" .root "values" $values "pod" $spec.template.spec) -}}
{{- if eq $role "gateway" -}}
{{- $grace := $spec.template.spec.terminationGracePeriodSeconds | int -}}
{{- $_ := set $spec.template.spec "terminationGracePeriodSeconds" (max $grace (include "reflow.endSeconds" .root | int)) -}}
{{- end -}}
{{- end -}}

{{- define "reflow.adaptPod" -}}
{{- $pod := .pod -}}
{{- $values := .values -}}
{{- $security := .root.Values.podSecurityContext -}}
{{- if $security }}{{ $_ := set $pod "securityContext" $security }}
{{- else if not (kindIs "invalid" $security) }}{{ $_ := unset $pod "securityContext" }}{{ end -}}
{{- with .root.Values.imagePullSecrets }}{{ $_ := set $pod "imagePullSecrets" . }}{{ end -}}
{{- range $key := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "priorityClassName" -}}
{{- with get $values $key }}{{ $_ := set $pod $key . }}{{ end -}}
{{- end -}}
{{- $container := first $pod.containers -}}
{{- $_ := set $container "image" (include "reflow.image" .root) -}}
{{- $_ := set $container "imagePullPolicy" .root.Values.image.pullPolicy -}}
{{- $_ := set $container "resources" (mergeOverwrite $container.resources (default (dict) $values.resources)) -}}
{{- with $values.env }}{{ $_ := set $container "env" (concat (default (list) $container.env) .) }}{{ end -}}
{{- with $values.envFrom }}{{ $_ := set $container "envFrom" . }}{{ end -}}
{{- $volumes := default (list) $values.volumes -}}
{{- $mounts := default (list) $values.volumeMounts -}}
{{- with include "reflow.pluginsConfigMap" .root -}}
{{- $volumes = prepend $volumes (dict "name" "plugins" "configMap" (dict "name" .)) -}}
{{- $mounts = prepend $mounts (dict "name" "plugins" "mountPath" "/plugins" "readOnly" true) -}}
{{- end -}}
{{- $_ := set $pod "volumes" (concat $pod.volumes $volumes) -}}
{{- $_ := set $container "volumeMounts" (concat $container.volumeMounts $mounts) -}}
{{- end -}}

{{- define "reflow.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ default .Chart.AppVersion $image.tag }}
{{- end -}}
{{- end -}}

{{/*
An annotation with a checksum of configuration and plugins, so that a change of them restarts the Pods. It is left out if
the values set neither of them and no image: then only a new chart can change the configuration, and its new image restarts
the Pods anyway.
*/}}
{{- define "reflow.checksum" -}}
{{- if or .Values.config .Values.plugins.files .Values.plugins.configMap .Values.image.tag .Values.image.digest -}}
checksum/config: {{ printf "%s %s" (include "reflow.config" .) (toJson .Values.plugins) | sha256sum }}
{{- end -}}
{{- end -}}
