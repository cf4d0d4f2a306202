{{/* Refuses combinations of values that contradict each other. values.schema.json refuses single wrong values. */}}
{{- define "reflow.refuse" -}}
{{- $gateway := .Values.gateway -}}
{{- $config := .Values.config -}}
{{- if eq .Values.namespaces.instances .Release.Namespace -}}
{{- fail (printf "namespaces.instances: must be another namespace than the release's, %s: users who may create Pods next to the instances could read the gateway's Secrets" .Release.Namespace) -}}
{{- end -}}
{{- if and .Values.plugins.files .Values.plugins.configMap -}}
{{- fail "plugins: give files or configMap, not both" -}}
{{- end -}}
{{- range $plugin := $config.plugins -}}
{{- if and $plugin.path (not $.Values.plugins.files) (not $.Values.plugins.configMap) (hasPrefix "/plugins/" $plugin.path) -}}
{{- fail (printf "config.plugins: %s is in no ConfigMap: give plugins.files or plugins.configMap" $plugin.path) -}}
{{- end -}}
{{- if and $plugin.path $.Values.plugins.files (hasPrefix "/plugins/" $plugin.path) (not (hasKey $.Values.plugins.files (trimPrefix "/plugins/" $plugin.path))) -}}
{{- fail (printf "config.plugins: %s is not in plugins.files" $plugin.path) -}}
{{- end -}}
{{- end -}}
{{- if not $gateway.enabled -}}
{{- range $key := list "ingress" "httpRoute" "autoscaling" -}}
{{- if (get $gateway $key).enabled }}{{ fail (printf "gateway.%s.enabled: there is no gateway, since gateway.enabled is false" $key) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if and $gateway.autoscaling.enabled (gt ($gateway.autoscaling.minReplicas | int) ($gateway.autoscaling.maxReplicas | int)) -}}
{{- fail "gateway.autoscaling: minReplicas is more than maxReplicas" -}}
{{- end -}}
{{- include "reflow.refuseConfig" . -}}
{{- include "reflow.refuseAccess" . -}}
{{- end -}}

{{/* Refuses keys of the configuration that the chart sets itself. */}}
{{- define "reflow.refuseConfig" -}}
{{- $ports := "the ports of the Pods are 8080 and 9090; set gateway.service.port for the Service" -}}
{{- $cluster := "the chart runs in the cluster that it is installed in" -}}
{{- $decided := dict "kubernetes.namespace" "set namespaces.instances instead" "kubernetes.enabled" $cluster "kubernetes.kubeconfig" $cluster "gateway.listen" $ports "metrics.listen" $ports "dev.targets" $cluster "dev.state_dir" $cluster -}}
{{- range $key, $why := $decided -}}
{{- $path := splitList "." $key -}}
{{- if hasKey (dig (first $path) (dict) $.Values.config) (last $path) }}{{ fail (printf "config.%s: %s" $key $why) }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* Refuses incomplete settings of Ingress, HTTPRoute and certificate. */}}
{{- define "reflow.refuseAccess" -}}
{{- $gateway := .Values.gateway -}}
{{- $certManager := $gateway.tls.certManager -}}
{{- $needs := dict "gateway.ingress" $gateway.ingress.enabled "gateway.httpRoute" $gateway.httpRoute.enabled "gateway.tls.certManager" $certManager.enabled -}}
{{- range $key, $isOn := $needs -}}
{{- if and $isOn (not (include "reflow.host" $)) -}}
{{- fail (printf "%s.enabled: clients need a public host: set config.gateway.public_url, e.g. https://mcp.example.com" $key) -}}
{{- end -}}
{{- end -}}
{{- if and $gateway.httpRoute.enabled (not $gateway.httpRoute.parentRefs) -}}
{{- fail "gateway.httpRoute.parentRefs: name the Gateway that serves the route" -}}
{{- end -}}
{{- if and $certManager.enabled (not $certManager.issuerRef.name) -}}
{{- fail "gateway.tls.certManager.issuerRef.name: name the Issuer or ClusterIssuer of cert-manager" -}}
{{- end -}}
{{- end -}}
