# The image: corsproxy in a virtual environment of its own, run by nobody in particular (uid 65532)
# on a root file system that may be read-only. `docker compose up` runs the demo from it.

FROM python:3.13-slim-trixie AS build

# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends binutils \
    && rm -rf /var/lib/apt/lists/*

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src

# The dependencies change less often than the code: a layer of their own.
COPY requirements.lock ./
RUN python -m venv --without-pip /opt/corsproxy \
    && python -m pip --python /opt/corsproxy/bin/python install \
        --require-hashes --only-binary :all: --requirement requirements.lock \
    # Debug symbols and sources for C are three quarters of what the dependencies weigh.
    && find /opt/corsproxy -name '*.so' -exec strip --strip-unneeded {} + \
    && find /opt/corsproxy -type f \
        \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.c' -o -name '*.h' \) -delete

COPY pyproject.toml README.md LICENSE ./
COPY corsproxy ./corsproxy
RUN python -m pip wheel --no-deps --wheel-dir /wheel . \
    && python -m pip --python /opt/corsproxy/bin/python install --no-deps --no-index /wheel/*.whl


FROM python:3.13-slim-trixie

ARG VERSION=unreleased
ARG REVISION=unknown
LABEL org.opencontainers.image.title="corsproxy" \
      org.opencontainers.image.description="A CORS reverse proxy that says why a request was blocked" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="docker.io/library/python:3.13-slim-trixie"

COPY --from=build /opt/corsproxy /opt/corsproxy

# Bytecode was compiled at installation; at run time there is nowhere to write it.
ENV PATH=/opt/corsproxy/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
WORKDIR /
EXPOSE 8080 9902
STOPSIGNAL SIGTERM

# The health listener of the configuration; CORSPROXY_HEALTH_LISTEN if it is elsewhere.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["corsproxy", "health"]

ENTRYPOINT ["corsproxy"]
CMD ["run"]
