# The product alone: a company's folder is mounted at /company or copied there by its own image, its settings and
# records are mounted, its secrets come from the environment.
#
# The base is a tag, as a digest here would go stale without anyone noticing; pin the one you have tested:
#   docker build --build-arg BASE=python@sha256:... -t onedoor .
ARG BASE=python:3.11-slim

FROM ${BASE} AS built
COPY requirements/server.txt /tmp/server.txt
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --no-deps --require-hashes -r /tmp/server.txt

FROM ${BASE}
RUN useradd --system --uid 10001 --no-create-home onedoor && install -d -o onedoor -m 700 /records /exports
COPY --from=built /venv /venv
COPY auth /onedoor/auth
COPY onedoor /onedoor/onedoor
USER onedoor
WORKDIR /company
ENV PATH=/venv/bin:$PATH PYTHONPATH=/onedoor PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    ONEDOOR_COMPANY=/company ONEDOOR_CONFIG=/settings/onedoor.toml
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health', timeout=2)"]
STOPSIGNAL SIGTERM
CMD ["python", "-m", "onedoor", "serve", "--host", "0.0.0.0", "--port", "8000"]
