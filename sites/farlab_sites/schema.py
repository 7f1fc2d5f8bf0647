"""The JSON Schema of `sites.yaml`, made from the catalogue's models."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from farlab_sites.catalogue import Catalogue


class _Schema(GenerateJsonSchema):
    """Pydantic's JSON Schema, without `null`: a key that is there has a value."""

    def nullable_schema(self, schema: Any) -> dict[str, Any]:
        """Describe only the value that may be absent."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: Any) -> dict[str, Any]:
        """Name only defaults that could be written."""
        if schema.get("default") is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of `sites.yaml`, as published in docs/sites.schema.json."""
    described = Catalogue.model_json_schema(schema_generator=_Schema)
    return {"$schema": _Schema.schema_dialect, **described, "title": "sites.yaml"}
