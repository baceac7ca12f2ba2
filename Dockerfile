# The door alone, without the demo: its settings and records are mounted, its secrets come from the environment.
FROM python:3.11-slim AS built
COPY requirements/server.txt /tmp/server.txt
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r /tmp/server.txt

FROM python:3.11-slim
RUN useradd --system --uid 10001 --no-create-home onedoor && install -d -o onedoor /records
COPY --from=built /venv /venv
WORKDIR /onedoor
COPY app.py cli.py outside.py settings.py ./
COPY auth auth
COPY door door
COPY engine engine
COPY exports exports
COPY introspect introspect
COPY jobs jobs
COPY records records
COPY resolvers resolvers
COPY schema schema
COPY sources sources
COPY work work
COPY web web
USER onedoor
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 ONEDOOR_CONFIG=/settings/onedoor.toml
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health', timeout=2)"]
STOPSIGNAL SIGTERM
CMD ["python", "cli.py", "serve", "--host", "0.0.0.0", "--port", "8000"]
