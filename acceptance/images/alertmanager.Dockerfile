# Stands in for the upstream image where no registry can be reached; amtool is beside it, as there.
FROM python:3.13-slim
COPY usr /usr
WORKDIR /
ENTRYPOINT ["alertmanager"]
