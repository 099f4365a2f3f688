# The service's image: locked dependencies in one stage, the service on top in the next.
# The base is pinned by digest; the version behind it is python:3.13-slim of September 2026.
ARG BASE=python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b

FROM ${BASE} AS dependencies
COPY requirements/service.txt /service.txt
# Into a folder of its own, so that the next stage takes the packages and nothing of pip's.
RUN python -m pip install --no-cache-dir --no-compile --require-hashes --target /packages -r /service.txt

FROM ${BASE}
LABEL org.opencontainers.image.title="gridos" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PYTHONPATH=/app:/packages \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
COPY --from=dependencies /packages /packages
COPY service/gridos /app/gridos
# A number, so that Kubernetes can see without a passwd file that it is not root.
USER 10001:10001
WORKDIR /app
EXPOSE 8000
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "gridos"]
CMD ["serve"]
