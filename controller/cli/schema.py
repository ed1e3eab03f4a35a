"""`rollout schema`: the JSON Schema of a plan, for editors."""

from __future__ import annotations

import click


@click.command(name="schema")
def cli() -> None:
    """Print the JSON Schema of a plan.

    An editor with a YAML language server completes and checks a plan whose first line is
    `# yaml-language-server: $schema=plan.schema.json`. What a schema cannot say (that weights
    rise, that a limit is on the right side) `rollout validate` tells.

    \b
    Example:
      rollout schema > rollout_plans/plan.schema.json
    """
    import json

    from controller.plan.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
