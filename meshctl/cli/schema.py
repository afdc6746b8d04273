"""`meshctl schema`: JSON Schema of the user's files, for editors. No logic: the schema is the models' own."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from meshctl.errors import UsageError


def schema(
    document: Annotated[str, typer.Argument(help="mesh or environments.", metavar="mesh|environments")] = "mesh",
) -> None:
    """Print the JSON Schema of mesh.yaml or environments.yaml."""
    # pydantic: not for `meshctl --help`
    from pydantic import BaseModel

    from meshctl.model.environment import Environments
    from meshctl.model.mesh import Mesh

    models: dict[str, type[BaseModel]] = {"mesh": Mesh, "environments": Environments}
    if document not in models:
        raise UsageError(f'there is no schema "{document}"', hint="choose mesh or environments")
    json_schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **models[document].model_json_schema()}
    sys.stdout.write(json.dumps(json_schema, indent=2) + "\n")
