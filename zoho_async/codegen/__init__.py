"""The generator of the product modules; left out of the wheel.

`distill` reads Zoho's OpenAPI files once and keeps their facts (`spec/`); everything after that
works from those facts and from one file of corrections (`overrides.toml`)::

    openapi/*.yml --distill--> spec/<product>/<resource>.json
    spec + overrides.toml --model--> functions and structs --render--> books/*.py, description.json
"""
