# check=error=true
# The service's image: locked dependencies and the service, laid out in one stage, taken over whole
# by the next. The same inputs make the same layers: nothing in them knows when, where or by whom
# they were made (docs/pipeline.md, "Reproducible").
# The base is pinned by digest; the version behind it is python:3.13-slim of September 2026.
ARG BASE=python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b

FROM ${BASE} AS layout
COPY requirements/service.txt /service.txt
# Into a folder of its own, so that the next stage takes the packages and nothing of pip's. Wheels
# only: a source distribution would run its author's code and come out different each time.
RUN python -m pip install --no-cache-dir --no-compile --only-binary :all: \
      --require-hashes --no-deps --target /layout/packages -r /service.txt \
    && rm -r /layout/packages/bin
COPY service/gridos /layout/app/gridos
# Compiled here, because a read-only root cannot keep what a worker compiles: it would do so again at
# each start, within the pod's CPU limit. By hash and not by time, so that two builds agree; modes
# and times are put the same for whatever checkout this came from.
RUN python -m compileall -q -s /layout --invalidation-mode unchecked-hash /layout \
    && find /layout -exec touch --no-dereference --date=@0 {} + \
    && chmod --recursive u=rwX,go=rX /layout

FROM ${BASE}
COPY --from=layout /layout/packages /packages
COPY --from=layout /layout/app /app
ENV PYTHONPATH=/app:/packages \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# Last, so that a new version shares every layer with the one before that did not change.
ARG VERSION=dev
ARG REVISION=unknown
ENV GRIDOS_VERSION=${VERSION}
LABEL org.opencontainers.image.title="gridos" \
      org.opencontainers.image.description="Loads and ratings of an electricity distribution grid" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# A number, so that Kubernetes can see without a passwd file that it is not root.
USER 10001:10001
WORKDIR /app
EXPOSE 8000 8001
# gunicorn's graceful end. Python is process 1 and handles it, so there is nothing in between.
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "gridos"]
CMD ["serve"]
