{{/* Helm's standard labels, which are added to the labels of manager/. */}}
{{- define "reflow.labels" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: reflow-gateway
{{- end -}}

{{/* Name of the ConfigMap with plugins; empty if there are none. */}}
{{- define "reflow.pluginsConfigMap" -}}
{{- if .Values.plugins.files -}}
reflow-plugins
{{- else -}}
{{ .Values.plugins.configMap }}
{{- end -}}
{{- end -}}

{{/* The minimum number of gateways by the values. */}}
{{- define "reflow.leastGateways" -}}
{{- $gateway := .Values.gateway -}}
{{- ternary $gateway.autoscaling.minReplicas $gateway.replicas $gateway.autoscaling.enabled -}}
{{- end -}}

{{/* Name of the Secret with the certificate; empty if there is none. */}}
{{- define "reflow.tlsSecret" -}}
{{- $tls := .Values.gateway.tls -}}
{{- default (ternary "reflow-gateway-tls" "" $tls.certManager.enabled) $tls.secretName -}}
{{- end -}}
