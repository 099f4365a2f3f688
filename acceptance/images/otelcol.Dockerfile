# Stands in for the upstream image where no registry can be reached.
FROM python:3.13-slim
COPY otelcol /usr/local/bin/otelcol
ENTRYPOINT ["/usr/local/bin/otelcol"]
