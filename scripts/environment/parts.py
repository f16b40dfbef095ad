"""The parts of the app that app.toml may leave out, and the steps that need them."""

from scripts.settings import Settings

PARTS = {
    "the SQL schema": ("db.schema-load",),
    "the SQL seed": ("db.seed",),
    "the user pool": ("cognito.create-pool", "cognito.create-users", "cognito.sync"),
    "users": ("cognito.create-users", "cognito.sync"),
    "DynamoDB tables": ("ddb.schema-load", "ddb.seed"),
    "DynamoDB items": ("ddb.seed",),
}


def list_missing(settings: Settings) -> list[str]:
    """The parts of PARTS that the app does not have."""
    app = settings.app
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


def describe_missing(settings: Settings) -> str:
    """A line that says what is skipped; "" if nothing is."""
    missing = list_missing(settings)
    return f"not in app.toml, so skipped: {', '.join(missing)}" if missing else ""


def list_skipped_steps(settings: Settings) -> set[str]:
    """The names of the steps that the app does not need."""
    return {step for part in list_missing(settings) for step in PARTS[part]}
