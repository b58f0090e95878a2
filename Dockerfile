# The service, and beside it read.py: docker exec -it market-monitoring python read.py

FROM python:3.12-slim AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/monitor
ENV PATH=/opt/monitor/bin:$PATH
WORKDIR /src

# The dependencies first, on their own: a layer that only a change of pyproject.toml makes anew.
COPY pyproject.toml ./
RUN python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' > requirements.txt \
    && pip install --requirement requirements.txt

COPY . .
RUN pip wheel --no-deps --wheel-dir /wheels . \
    && pip install --no-deps /wheels/*.whl

# Compile the kernels now, for any processor of this architecture rather than for the one that
# happens to build: the cache is looked up by processor name and features. Run outside of /src, or
# the checkout would be compiled instead of what is installed.
ENV NUMBA_CPU_NAME=generic \
    NUMBA_CACHE_DIR=/var/cache/monitor
WORKDIR /
RUN python -m monitor warm


FROM python:3.12-slim

# Fixed numbers, so that a mounted folder or a reader in another container can be given to it.
RUN useradd --uid 10001 --user-group --create-home --home-dir /app --shell /usr/sbin/nologin monitor

COPY --from=build /opt/monitor /opt/monitor
COPY --from=build --chown=10001:10001 /var/cache/monitor /var/cache/monitor
COPY read.py /app/read.py

ENV PATH=/opt/monitor/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    NUMBA_CPU_NAME=generic \
    NUMBA_CACHE_DIR=/var/cache/monitor

WORKDIR /app
USER 10001:10001

# numba wants to be able to write where its cache is, or refuses to cache at all. A volume starts
# with what the image has there, and stays writable when the root file system is not. One of an
# older image is of no harm: each version of the code has its own folder in it.
VOLUME /var/cache/monitor

STOPSIGNAL SIGTERM
# Docker knows 0 and 1 only; `status` says 3 for no service. The first fill of hundreds of markets
# takes minutes, and until then the store is degraded: that is a start, not a sickness.
HEALTHCHECK --interval=30s --timeout=10s --start-period=15m --retries=3 \
    CMD ["sh", "-c", "python -m monitor status >/dev/null || exit 1"]

ENTRYPOINT ["python", "-m", "monitor"]
CMD ["run"]
