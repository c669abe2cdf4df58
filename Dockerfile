# One image for every machine of a lab: a worker, the dashboard, or any other command.
#   docker build -t cp-search .
#   docker run --rm --gpus all -v "$PWD:/work" cp-search doctor
# Not built by the project's tests; hadolint checks it (tests/docs/test_containers.py).
FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 PYTHONUTF8=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /opt/cp-search
COPY constraints.txt ./
# First and alone: this layer is large, and stays as it is while the project changes.
RUN pip install --constraint constraints.txt torch

COPY pyproject.toml README.md LICENSE ./
COPY trainer trainer
COPY search search
COPY configs configs
COPY spaces spaces
RUN pip install --constraint constraints.txt ".[postgres]" \
 && useradd --create-home --uid 1000 cp-search

# by number, which every host can resolve: the user cp-search above
USER 1000
WORKDIR /work
ENTRYPOINT ["cp-search"]
CMD ["--help"]
