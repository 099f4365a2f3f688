{{- define "rates.labels" -}}
app.kubernetes.io/name: rates
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
