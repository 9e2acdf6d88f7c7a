# What one does most; see CONTRIBUTING.md.

test:
    .venv/bin/pytest

slow:
    .venv/bin/pytest -m slow

lint:
    .venv/bin/ruff check
    .venv/bin/ruff format --check
    .venv/bin/mypy

fix:
    .venv/bin/ruff check --fix
    .venv/bin/ruff format

quickstart:
    .venv/bin/bench run suites/quickstart.yml
