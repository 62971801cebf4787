#!/usr/bin/env bash
# The whole path on an accelerator, CUDA or MPS, or without one on the CPU: a table in at most eight minutes, exit code 1
# where a bound does not hold. `bash tests/gpu.sh --help` tells the options; --quick takes seconds, on any machine.
set -euo pipefail
cd "$(dirname "$0")/.."
python=python3
[ -x .venv/bin/python ] && python=.venv/bin/python
PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" exec "${PYTHON:-$python}" tests/gpu.py "$@"
