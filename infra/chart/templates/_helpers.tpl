{{- define "recon.name" -}}
{{- $name := default .Chart.Name .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- if contains "recon" $name }}{{ $name }}{{ else }}{{ $name }}-recon{{ end -}}
{{- end -}}

{{- define "recon.selector" -}}
app.kubernetes.io/name: recon
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "recon.labels" -}}
{{ include "recon.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "recon.image" -}}
{{ .root.Values.image.registry }}recon-{{ .name }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end -}}

{{- define "recon.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "recon.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* What every container is told: secrets by name, the rest in plain. */}}
{{- define "recon.env" -}}
{{- range $key := list "RECON_DATABASE" "RECON_BROKER" }}
- name: {{ $key }}
  valueFrom: {secretKeyRef: {name: {{ $.Values.existingSecret | quote }}, key: {{ $key }}}}
{{- end }}
{{- range $key := list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
- name: {{ $key }}
  valueFrom: {secretKeyRef: {name: {{ $.Values.existingSecret | quote }}, key: {{ $key }}, optional: true}}
{{- end }}
- {name: RECON_STORE, value: {{ .Values.store.url | quote }}}
{{- range $key, $value := dict "RECON_S3_ENDPOINT" .Values.store.endpoint "RECON_S3_PUBLIC_ENDPOINT" .Values.store.publicEndpoint "RECON_S3_REGION" .Values.store.region "RECON_IMPORT_BUCKETS" .Values.store.importBuckets }}
{{- if $value }}
- {name: {{ $key }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}
{{- range $key, $value := .Values.settings }}
- {name: {{ $key }}, value: {{ $value | quote }}}
{{- end }}
{{- end -}}

{{/* Shards of these queues that wait or run: who runs is needed on, so that nobody is stopped who works. */}}
{{- define "recon.waiting" -}}
select count(*) {{- if eq .kind "cpu" }} + (select count(*) from chores where state in ('pending', 'running')){{ end }}
from shards join jobs on jobs.id = shards.job_id
where jobs.state in ('queued', 'running') and shards.state in ('pending', 'running') and shards.queue in ('{{ join "', '" .queues }}')
{{- end -}}

{{/* A worker of one kind: dict of root, kind (cpu, gpu), values, queues. */}}
{{- define "recon.worker" -}}
{{- $root := .root -}}
{{- $name := printf "%s-worker-%s" (include "recon.name" $root) .kind -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  labels:
    {{- include "recon.labels" $root | nindent 4 }}
    app.kubernetes.io/component: worker-{{ .kind }}
spec:
  {{- if not $root.Values.autoscaling.enabled }}
  replicas: {{ .values.minReplicas }}
  {{- end }}
  revisionHistoryLimit: 3
  selector:
    matchLabels:
      {{- include "recon.selector" $root | nindent 6 }}
      app.kubernetes.io/component: worker-{{ .kind }}
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxSurge: 1, maxUnavailable: 0}
  template:
    metadata:
      labels:
        {{- include "recon.labels" $root | nindent 8 }}
        app.kubernetes.io/component: worker-{{ .kind }}
    spec:
      serviceAccountName: {{ include "recon.name" $root }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      # what it needs to give its shards back, after it has waited for them
      terminationGracePeriodSeconds: {{ add .values.stopS 30 }}
      securityContext:
        {{- include "recon.podSecurity" $root | nindent 8 }}
      {{- with $root.Values.image.pullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: worker
          image: {{ include "recon.image" (dict "root" $root "name" (printf "worker-%s" .kind)) | quote }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          command: [recon, worker, --queues, {{ join "," .queues | quote }}]
          securityContext:
            {{- include "recon.containerSecurity" $root | nindent 12 }}
          env:
            {{- include "recon.env" $root | nindent 12 }}
            - {name: RECON_STOP_S, value: {{ .values.stopS | quote }}}
            - {name: RECON_CACHE_GB, value: {{ .values.cacheGb | quote }}}
            # it sees the whole node otherwise
            - name: RECON_CORES
              valueFrom: {resourceFieldRef: {containerName: worker, resource: requests.cpu, divisor: "1"}}
            - name: RECON_MEMORY_MB
              valueFrom: {resourceFieldRef: {containerName: worker, resource: requests.memory, divisor: 1Mi}}
            {{- if and (eq .kind "gpu") .values.modelsClaim }}
            - {name: RECON_MODEL_DIR, value: /models}
            {{- end }}
          resources:
            requests:
              {{- toYaml .values.resources.requests | nindent 14 }}
            limits:
              {{- toYaml .values.resources.limits | nindent 14 }}
              {{- if eq .kind "gpu" }}
              nvidia.com/gpu: {{ .values.gpus }}
              {{- end }}
          # a worker touches a file every second; it need not reach anything for that
          startupProbe:
            exec: {command: [sh, -c, 'find /var/lib/recon/alive -name "$(hostname)-*" -mmin -2 | grep -q .']}
            periodSeconds: 5
            failureThreshold: 36
          livenessProbe:
            exec: {command: [sh, -c, 'find /var/lib/recon/alive -name "$(hostname)-*" -mmin -2 | grep -q .']}
            periodSeconds: 30
            timeoutSeconds: 5
            failureThreshold: 3
          volumeMounts:
            - {name: home, mountPath: /var/lib/recon}
            - {name: scratch, mountPath: /tmp}
            {{- if and (eq .kind "gpu") .values.modelsClaim }}
            - {name: models, mountPath: /models, readOnly: true}
            {{- end }}
      volumes:
        # on disk, not in memory
        - name: home
          emptyDir: {}
        - name: scratch
          emptyDir: {}
        {{- if and (eq .kind "gpu") .values.modelsClaim }}
        - name: models
          persistentVolumeClaim: {claimName: {{ .values.modelsClaim | quote }}, readOnly: true}
        {{- end }}
      {{- with .values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- if $root.Values.autoscaling.enabled }}
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: {{ $name }}
  labels:
    {{- include "recon.labels" $root | nindent 4 }}
    app.kubernetes.io/component: worker-{{ .kind }}
spec:
  scaleTargetRef: {name: {{ $name }}}
  minReplicaCount: {{ .values.minReplicas }}
  maxReplicaCount: {{ .values.maxReplicas }}
  pollingInterval: {{ $root.Values.autoscaling.pollingS }}
  cooldownPeriod: {{ $root.Values.autoscaling.cooldownS }}
  # if the database can't be asked, as many as there are
  fallback: {failureThreshold: 3, replicas: {{ max .values.minReplicas 1 }}, behavior: currentReplicas}
  advanced:
    horizontalPodAutoscalerConfig:
      behavior:
        scaleDown:
          stabilizationWindowSeconds: {{ $root.Values.autoscaling.cooldownS }}
          policies: [{type: Pods, value: 1, periodSeconds: 60}]
  triggers:
    # the database is the truth about what waits; messages in the broker may be lost or come twice
    - type: postgresql
      metadata:
        query: >-
          {{- include "recon.waiting" . | nindent 10 }}
        targetQueryValue: {{ .values.shardsPerWorker | quote }}
        activationTargetQueryValue: "0"
      authenticationRef: {name: {{ include "recon.name" $root }}-database}
{{- end }}
{{- end -}}
