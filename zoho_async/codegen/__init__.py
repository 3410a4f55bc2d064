"""The generator of the product modules. It is not part of the wheel.

`distill` reads Zoho's OpenAPI files once and stores their facts in ``spec/``. Operations
that are in no OpenAPI file have files in ``spec/`` too (see `observed`). Later steps use only those
facts and one file of corrections (`overrides.toml`)::

    openapi/*.yml --distill--> spec/<product>/<resource>.json
    reports.json --observed, distill--> spec/<product>/reports.json
    spec + overrides.toml --model--> functions and structs --render--> books/*.py, description.json
"""
