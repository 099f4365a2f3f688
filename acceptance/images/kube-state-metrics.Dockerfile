# Stands in for the upstream image where no registry can be reached.
FROM python:3.13-slim
COPY kube-state-metrics /usr/local/bin/kube-state-metrics
ENTRYPOINT ["/usr/local/bin/kube-state-metrics"]
