# The image: corsproxy in its own virtual environment, run by an unprivileged user (uid 65532). The root
# file system may be read-only. `docker compose up` runs the demo from this image.

# A full version, so that a rebuild does not upgrade it unnoticed. A tag can still be moved, so a
# release pins the digest, too: see docs/operations.md.
ARG BASE=python:3.13.18-slim-trixie

FROM ${BASE} AS build

# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends binutils \
    && rm -rf /var/lib/apt/lists/*

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src

# The dependencies have their own layer, because they change less often than the code. The build
# backend is also installed with hashes: an isolated build would fetch the newest version.
COPY requirements.lock requirements-build.lock ./
RUN python -m venv --without-pip /opt/corsproxy \
    && python -m pip --python /opt/corsproxy/bin/python install \
        --require-hashes --only-binary :all: --requirement requirements.lock \
    && python -m pip install \
        --require-hashes --only-binary :all: --requirement requirements-build.lock \
    # Debug symbols and C sources are three quarters of the size of the dependencies.
    && find /opt/corsproxy -name '*.so' -exec strip --strip-unneeded {} + \
    && find /opt/corsproxy -type f \
        \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.c' -o -name '*.h' \) -delete

COPY pyproject.toml README.md LICENSE ./
COPY corsproxy ./corsproxy
RUN python -m pip wheel --no-deps --no-index --no-build-isolation --wheel-dir /wheel . \
    && python -m pip --python /opt/corsproxy/bin/python install --no-deps --no-index /wheel/*.whl


FROM ${BASE}

ARG BASE
ARG VERSION=unreleased
ARG REVISION=unknown
LABEL org.opencontainers.image.title="corsproxy" \
      org.opencontainers.image.description="A CORS reverse proxy that reports why a request was blocked" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="docker.io/library/${BASE}"

COPY --from=build /opt/corsproxy /opt/corsproxy

# Bytecode was compiled during installation; at run time the file system may be read-only.
ENV PATH=/opt/corsproxy/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
WORKDIR /
EXPOSE 8080 9902
STOPSIGNAL SIGTERM

# Requests the default address of health.listen; set CORSPROXY_HEALTH_LISTEN for another one.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["corsproxy", "health"]

ENTRYPOINT ["corsproxy"]
CMD ["run"]
