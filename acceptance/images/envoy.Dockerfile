# Stands in for the upstream image where no registry can be reached.
FROM python:3.13-slim
COPY envoy /usr/local/bin/envoy
ENTRYPOINT ["/usr/local/bin/envoy"]
