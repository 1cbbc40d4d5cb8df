# The server with the demo bundle; no torch inside.
#   docker build --tag glam-serve .                                   (CPU)
#   docker build --tag glam-serve:gpu --build-arg ACCELERATOR=gpu .    (NVIDIA; run it with --gpus all)
#   docker build --tag glam-serve --build-arg EXTRAS=triton,codecs .   (asks a Triton: deploy/compose-triton.yaml)
#   docker run --read-only --tmpfs /tmp --publish 127.0.0.1:8000:8000 glam-serve
ARG ACCELERATOR=cpu

FROM python:3.11-slim-bookworm AS build
ARG ACCELERATOR
ARG EXTRAS=serve,codecs
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY . .
RUN python -m venv /opt/glam \
 && /opt/glam/bin/pip install --constraint constraints.txt ".[${EXTRAS}]"
# One of the two runtimes may be installed: they share the module's name.
RUN if [ "$ACCELERATOR" = gpu ]; then \
      version=$(/opt/glam/bin/python -c "from importlib.metadata import version; print(version('onnxruntime'))") \
   && /opt/glam/bin/pip uninstall --yes onnxruntime \
   && /opt/glam/bin/pip install --constraint constraints.txt "onnxruntime-gpu[cuda,cudnn]==$version"; \
    fi

FROM python:3.11-slim-bookworm AS serve-cpu
ENV GLAM_PROVIDER=CPUExecutionProvider

FROM python:3.11-slim-bookworm AS serve-gpu
# The CUDA libraries are Python packages of the environment; the driver comes from the host.
ENV GLAM_PROVIDER=CUDAExecutionProvider \
    LD_LIBRARY_PATH=/opt/glam/lib/python3.11/site-packages/nvidia/cu13/lib:/opt/glam/lib/python3.11/site-packages/nvidia/cudnn/lib

# hadolint ignore=DL3006
FROM serve-${ACCELERATOR}
COPY --from=build /opt/glam /opt/glam
ENV PATH=/opt/glam/bin:$PATH HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 ORT_DISABLE_TELEMETRY=1 \
    GLAM_PORT=8000
# The audit log's folder: a new volume that is mounted there takes its owner.
RUN groupadd --gid 10001 glam && useradd --uid 10001 --gid glam --no-create-home --shell /usr/sbin/nologin glam \
 && install --directory --owner glam --group glam --mode 0700 /var/log/glam
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000
# It follows GLAM_PORT, as the server does (docker run --env GLAM_PORT=9000), and asks past any http_proxy.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['GLAM_PORT']), timeout=4); c.request('GET', '/readyz'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["glam-serve", "run"]
CMD ["--host", "0.0.0.0"]
