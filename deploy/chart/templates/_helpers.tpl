{{- define "adaptive-router.name" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "adaptive-router.image" -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}

{{- define "adaptive-router.config" -}}
{{- if not .Values.config -}}
{{- .Files.Get "files/router.yaml" -}}
{{- else if kindIs "map" .Values.config -}}
{{- toYaml .Values.config -}}
{{- else -}}
{{- .Values.config -}}
{{- end -}}
{{- end -}}

{{/* What the manifests take from the config, as JSON: ports, 0 for none, whether they speak TLS, the drain in seconds. */}}
{{- define "adaptive-router.server" -}}
{{- $config := include "adaptive-router.config" . | fromYaml -}}
{{- if hasKey $config "Error" -}}
{{- fail (printf "config: %s" $config.Error) -}}
{{- end -}}
{{- $server := $config.server | default dict -}}
{{- if not (has ($server.host | default "127.0.0.1") (list "0.0.0.0" "::")) -}}
{{- fail "config: server.host must be 0.0.0.0 or \"::\", else nobody reaches the pod" -}}
{{- end -}}
{{- $longest := 0 -}}
{{- range $config.arms -}}
{{- range .deployments -}}
{{- $longest = max $longest (.timeout_ms | default 60000 | int64) -}}
{{- end -}}
{{- end -}}
{{- $drain := $server.drain_ms | default (add $longest 5000) | int64 -}}
{{- dict
      "grpc" ($server.port | default 8480 | int64)
      "http" ($server.http_port | default 0 | int64)
      "metrics" ($server.metrics_port | default 9480 | int64)
      "drain" (div (add $drain 999) 1000)
    | toJson -}}
{{- end -}}

{{- define "adaptive-router.keys" -}}
{{- .Values.keysSecret | default (printf "%s-keys" (include "adaptive-router.name" .)) -}}
{{- end -}}

{{/* The keys as JSON, the address of the chart's own Redis among them. */}}
{{- define "adaptive-router.keyValues" -}}
{{- $keys := deepCopy .Values.keys -}}
{{- if and .Values.redis.enabled (not $keys.REDIS_URL) -}}
{{- $host := printf "%s-redis" (include "adaptive-router.name" .) -}}
{{- $password := .Values.redis.password | urlquery | replace "+" "%20" -}}
{{- $_ := set $keys "REDIS_URL" (printf "redis://:%s@%s:6379/0" $password $host) -}}
{{- end -}}
{{- $keys | toJson -}}
{{- end -}}

{{- define "adaptive-router.labels" -}}
app.kubernetes.io/name: {{ include "adaptive-router.name" .root }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* In annotations of pods: another config, or other keys, are a roll-out. */}}
{{- define "adaptive-router.podAnnotations" -}}
prometheus.io/scrape: "true"
prometheus.io/port: {{ (include "adaptive-router.server" . | fromJson).metrics | int64 | quote }}
checksum/config: {{ include "adaptive-router.config" . | sha256sum }}
{{- if not .Values.keysSecret }}
checksum/keys: {{ include "adaptive-router.keyValues" . | sha256sum }}
{{- end }}
{{- end -}}

{{/* What routers and learners have in common, beside their containers. */}}
{{- define "adaptive-router.pod" -}}
serviceAccountName: {{ include "adaptive-router.name" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "adaptive-router.labels" . | nindent 8 }}
{{- end -}}

{{- define "adaptive-router.container" -}}
image: {{ include "adaptive-router.image" .root }}
{{- with .root.Values.image.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
envFrom:
  - secretRef: {name: {{ include "adaptive-router.keys" .root }}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}
