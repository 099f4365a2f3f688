# Stands in for the upstream image where no registry can be reached.
FROM python:3.13-slim
COPY prometheus /usr/local/bin/prometheus
ENTRYPOINT ["/usr/local/bin/prometheus"]
