# sincut without a GPU. It is written with care, but has been built nowhere yet.
#
#   docker build -t sincut .                              sincut itself; then, with pictures of the current folder:
#   docker run --rm --user "$(id -u)" -v "$PWD:/work" sincut train painting.jpg photo.jpg -o runs/first
#   docker run --rm -p 127.0.0.1:7860:7860 -v "$PWD:/work" sincut ui --host 0.0.0.0 --no-open
#   docker build -t sincut-first --target first . && docker run --rm sincut-first       the first command of README
#   docker build -t sincut-checks --target checks . && docker run --rm sincut-checks    the second, all checks
FROM python:3.11-slim AS base
# torch without CUDA; caches where every user may write
ENV PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 HOME=/tmp
WORKDIR /sincut
COPY . .

FROM base AS checks
# git for tests that read the repository; a browser for those of the page
RUN apt-get update && apt-get install -y --no-install-recommends git chromium chromium-driver \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv .venv && .venv/bin/pip install -q -e '.[dev]'
CMD [".ci/run"]

FROM base AS first
RUN python3 -m venv .venv && .venv/bin/pip install -q .
SHELL ["/bin/bash", "-c"]
CMD python3 -m venv .venv && .venv/bin/pip install -q . && .venv/bin/sincut train examples/painting.jpg examples/photo.jpg -o runs/first --preset quick && .venv/bin/sincut apply runs/first examples/painting.jpg -o out.png

FROM base AS sincut
RUN python3 -m venv .venv && .venv/bin/pip install -q '.[ui,large,heic]'
ENV PATH=/sincut/.venv/bin:$PATH
WORKDIR /work
ENTRYPOINT ["sincut"]
