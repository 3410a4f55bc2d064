"""Sessions for contributors and CI: ``nox -s lint tests``.

``.ci/run`` needs nothing but Python, and runs `lint` and `types` in the environment that it made.
"""

from pathlib import Path

import nox

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["lint", "types", "tests"]

PYTHONS = ["3.11", "3.12", "3.13", "3.14", "3.14t"]
PROSE = (
    "zoho_async",
    "tests",
    "benchmarks",
    "docs",
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and spelling."""
    session.install("-e", ".", "ruff>=0.17.6", "codespell>=2.4")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("codespell", *PROSE)


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy and pyright, and that generated code is up to date."""
    session.install("-e", ".[dev,bench]")
    session.run("mypy")
    python = session.run("python", "-c", "import sys; print(sys.executable)", silent=True)
    session.run("pyright", "--pythonpath", str(python).strip())
    session.run("python", "-m", "zoho_async.codegen", "--check")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the plain tests, or those that are named."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", "-q", *(session.posargs or ["-n", "auto"]))


@nox.session(python="3.11")
def lowest(session: nox.Session) -> None:
    """Run the plain tests, or those that are named, with the lowest versions of dependencies."""
    session.install("uv")
    into = ("--python", session.virtualenv.location, "--resolution", "lowest-direct")
    session.run("uv", "pip", "install", *into, "-e", ".[test]", env={"UV_SYSTEM_CERTS": "1"})
    # Old versions warn of what newer ones no longer do, and some had another licence.
    wanted = session.posargs or ["-n", "auto", "-k", "not has_its_licence_listed"]
    session.run("python", "-m", "pytest", "-q", "-W", "default", *wanted)


@nox.session
def sandbox_file(session: nox.Session) -> None:
    """Build zoho-sandbox.pyz for every platform, in ``dist``."""
    session.install("build", "pip")
    session.run("python", "-m", "build", "--wheel")
    wheels = sorted(Path("dist").glob("*.whl"))
    session.run("python", ".ci/pyz", str(wheels[-1]), "dist/zoho-sandbox.pyz")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation site."""
    session.install("-e", ".[docs]")
    session.run("python", "-m", "sphinx", "-W", "docs", "build/docs")
