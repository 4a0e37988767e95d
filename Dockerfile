# One image for server, worker and migration; what it does is chosen by the command.
FROM python:3.11-slim AS build
RUN pip install --no-cache-dir "uv>=0.7" && python -m venv /opt/dosimeter
ENV VIRTUAL_ENV=/opt/dosimeter UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
WORKDIR /opt/dosimeter/src
# The lock first: the layer with torch is built anew only when the lock changes.
COPY requirements.lock ./
RUN uv pip install --no-cache --require-hashes -r requirements.lock
# In place, as `make run` installs it: templates and migrations stand beside the packages.
COPY . .
RUN uv pip install --no-cache --no-deps --editable .

FROM python:3.11-slim
RUN useradd --uid 10001 --create-home --home-dir /home/dosimeter dosimeter \
    && install -d -o dosimeter -g dosimeter -m 0700 /var/lib/dosimeter /var/lib/dosimeter-datasets
COPY --from=build /opt/dosimeter /opt/dosimeter
ENV PATH=/opt/dosimeter/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DOSIMETER_HOME=/var/lib/dosimeter \
    DOSIMETER_DATA_DIR=/var/lib/dosimeter-datasets
USER 10001:10001
WORKDIR /home/dosimeter
VOLUME ["/var/lib/dosimeter", "/var/lib/dosimeter-datasets"]
EXPOSE 8000
CMD ["dosimeter", "serve"]
