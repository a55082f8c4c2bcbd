# The three services in one image, and with `--target load` the load generator in another:
#
#   docker build --tag shop --target services .
#   docker build --tag shop-load --target load .
#   docker run --read-only --tmpfs /tmp --env-file shop.env shop user   # or as `shop --help` says
#
# Neither writes to its root but in /tmp, where the native transport and a service's workers have
# sockets. The base is an image with Python 3.11 or newer as `python3`, and venv;
# 3.11 is what all figures in docs/ were measured with.
ARG BASE=python:3.11-slim-bookworm

# What both are made of: a user, and no tool that could add to what is installed.
FROM ${BASE} AS bare
RUN find /usr -depth \( -path '*-packages/pip*' -o -path '*-packages/setuptools*' \
        -o -path '*-packages/wheel*' -o -path '*-packages/pkg_resources*' \
        -o -path '*-packages/*distutils*' -o -path '*/ensurepip*' -o -path '*/python-wheels*' \
        -o -path '*/bin/pip*' -o -path '*/bin/wheel' \) -delete \
    && groupadd --gid 10001 shop \
    && useradd --uid 10001 --gid 10001 --home-dir /app --no-create-home --shell /usr/sbin/nologin shop
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPATH=/app:/app/proto \
    PYTHONUNBUFFERED=1
WORKDIR /app
STOPSIGNAL SIGTERM

# Packages, as locked. A build behind a proxy or an index of its own gives its pip.conf as a secret:
#   --secret id=pip,src=pip.conf
FROM ${BASE} AS packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python3 -m venv /opt/venv
COPY requirements/image.txt requirements/load.txt /requirements/

FROM packages AS service-packages
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    /opt/venv/bin/pip install --quiet --no-compile --only-binary :all: --require-hashes \
        --requirement /requirements/image.txt \
    && /opt/venv/bin/pip uninstall --quiet --yes pip setuptools
COPY services /app/services
COPY proto/shop /app/proto/shop
RUN /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib /app

FROM packages AS load-packages
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    /opt/venv/bin/pip install --quiet --no-compile --only-binary :all: --require-hashes \
        --requirement /requirements/load.txt \
    && /opt/venv/bin/pip uninstall --quiet --yes pip
COPY loadtests /app/loadtests
COPY proto/shop /app/proto/shop
RUN /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib /app

FROM bare AS load
LABEL org.opencontainers.image.title="shop-load" \
      org.opencontainers.image.description="Load on the shop's services, with Locust" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=load-packages /opt/venv /opt/venv
COPY --from=load-packages /app /app
# A volume goes here, for the reports.
RUN install --directory --owner shop --group shop /app/out
USER 10001:10001
ENTRYPOINT ["python", "-m", "loadtests"]
CMD ["--help"]

FROM bare AS services
LABEL org.opencontainers.image.title="shop" \
      org.opencontainers.image.description="Three e-commerce microservices over gRPC" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=service-packages /opt/venv /opt/venv
COPY --from=service-packages /app /app
ENV SHOP_BIND_HOST=0.0.0.0
USER 10001:10001
EXPOSE 50051 50052 50053 9101 9102 9103
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-m", "services", "check"]
ENTRYPOINT ["python", "-m", "services"]
CMD ["--help"]
