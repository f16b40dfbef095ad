"""The parts of the app that app.toml may leave out, and the steps that need them."""

from scripts.app import App
from scripts.engine.pipeline import Step, StepKind

# The unit of each part, and the kinds of its steps that are skipped without it.
PARTS: dict[str, tuple[str, tuple[StepKind, ...]]] = {
    "the SQL schema": ("postgres", ("schema",)),
    "the SQL seed": ("postgres", ("seed",)),
    "the user pool": ("cognito", ("create", "seed", "link")),
    "users": ("cognito", ("seed", "link")),
    "DynamoDB tables": ("dynamodb", ("schema", "seed")),
    "DynamoDB items": ("dynamodb", ("seed",)),
}


def list_missing(app: App) -> list[str]:
    """The parts of PARTS that the app does not have."""
    has_tables = bool(app.dynamodb.tables or app.messages)
    has = {
        "the SQL schema": bool(app.postgres.schema),
        "the SQL seed": bool(app.postgres.seed),
        "the user pool": app.cognito is not None,
        "users": app.users is not None or app.cognito is None,
        "DynamoDB tables": has_tables,
        "DynamoDB items": bool(app.dynamodb.seeds or app.messages) or not has_tables,
    }
    return [part for part in PARTS if not has[part]]


def describe_missing(app: App) -> str:
    """A line that says what is skipped; "" if nothing is. Services that are left out need none."""
    missing = [part for part in list_missing(app) if _get_service(PARTS[part][0]) in app.services]
    return f"not in app.toml, so skipped: {', '.join(missing)}" if missing else ""


def has_step(app: App, step: Step) -> bool:
    """Does the app have what the step is about?"""
    if step.unit and _get_service(step.unit) not in app.services:
        return False
    missing = (PARTS[part] for part in list_missing(app))
    return not any(step.unit == unit and step.kind in kinds for unit, kinds in missing)


def _get_service(unit: str) -> str:
    return "postgres" if unit == "postgres" else "aws"
