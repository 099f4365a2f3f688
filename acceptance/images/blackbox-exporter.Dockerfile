# Stands in for the upstream image where no registry can be reached.
FROM python:3.13-slim
COPY blackbox-exporter /usr/local/bin/blackbox-exporter
ENTRYPOINT ["/usr/local/bin/blackbox-exporter"]
