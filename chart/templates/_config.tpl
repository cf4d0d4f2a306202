{{/* The configuration file: manager/10-config.yaml with the namespaces of this release, and with the keys of .Values.config. */}}
{{- define "reflow.config" -}}
{{- $manifest := fromYaml (.Files.Get "files/manager/10-config.yaml") -}}
{{- $text := get $manifest.data "reflow.yaml" | replace ".reflow-system" (printf ".%s" .Release.Namespace) -}}
{{- $config := fromYaml $text -}}
{{- $_ := set $config.kubernetes "namespace" .Values.namespaces.instances -}}
{{- range $section, $given := .Values.config -}}
{{- $into := get $config $section -}}
{{- if and (kindIs "map" $given) (kindIs "map" $into) -}}
{{- range $key, $value := $given }}{{ $_ := set $into $key $value }}{{ end -}}
{{- else -}}
{{- $_ := set $config $section $given -}}
{{- end -}}
{{- end -}}
{{- $bridge := default dict $config.kubernetes.bridge -}}
{{- if not (hasKey (dig "kubernetes" "bridge" dict .Values.config) "image") }}{{ $_ := set $bridge "image" (include "reflow.image" .) }}{{ end -}}
{{- $_ := set $config.kubernetes "bridge" $bridge -}}
{{- toYaml $config -}}
{{- end -}}

{{/* Name of the Secret with the gateway's session keys. */}}
{{- define "reflow.keysSecret" -}}
{{- dig "gateway" "keys_secret" "reflow-gateway-keys" .Values.config -}}
{{- end -}}

{{/* The host of the public URL, without a port. */}}
{{- define "reflow.host" -}}
{{- $url := dig "gateway" "public_url" "" .Values.config -}}
{{- (urlParse $url).hostname -}}
{{- end -}}

{{/* Seconds that a gateway needs to shut down: kubernetes.drain_timeout (e.g. 1h30m, 2.5s) plus 30 s. */}}
{{- define "reflow.endSeconds" -}}
{{- $seconds := 30.0 -}}
{{- $units := dict "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0 -}}
{{- range regexFindAll "[0-9.]+(ms|s|m|h)" (dig "kubernetes" "drain_timeout" "0s" .Values.config) -1 -}}
{{- $unit := regexFind "[a-z]+" . -}}
{{- $seconds = addf $seconds (mulf (trimSuffix $unit . | float64) (get $units $unit)) -}}
{{- end -}}
{{- ceil $seconds | int -}}
{{- end -}}
