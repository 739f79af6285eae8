# docker build -t headrace . ; see "In a container" in docs/operations.md.

# The wheel is compiled here; neither the compiler nor the sources get into the image.
FROM python:3.12-slim-bookworm AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY pyproject.toml setup.py README.md LICENSE ./
COPY src ./src
RUN python -m venv /opt/headrace \
 && /opt/headrace/bin/pip install --no-cache-dir .

FROM python:3.12-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /var/lib/headrace --create-home headrace
COPY --from=build /opt/headrace /opt/headrace
ENV PATH=/opt/headrace/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HEADRACE_DATA_DIR=/var/lib/headrace/data \
    HEADRACE_PLUGIN_DIR=/var/lib/headrace/plugins \
    HEADRACE_NODE_ID=headrace \
    HEADRACE_HTTP_BIND=0.0.0.0:8181
USER 10001
# Rows, log, catalog and secrets, and the code of plugins with its packages.
VOLUME /var/lib/headrace
EXPOSE 8181
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8181/health', timeout=4)"]
ENTRYPOINT ["headrace"]
CMD ["serve"]
