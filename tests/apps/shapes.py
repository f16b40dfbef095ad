"""Small apps in the shapes of the public repositories that this tool is for, written by us."""

from dataclasses import dataclass, field

UUID = 'CREATE EXTENSION IF NOT EXISTS "uuid-ossp";\n'
DROPS = "DROP TABLE IF EXISTS public.users;\nDROP TABLE IF EXISTS public.activities;\n"
ACTIVITIES = """
CREATE TABLE public.activities (
  uuid UUID DEFAULT uuid_generate_v4() PRIMARY KEY,
  user_uuid UUID NOT NULL,
  message text NOT NULL,
  expires_at TIMESTAMP,
  created_at TIMESTAMP default current_timestamp NOT NULL
);
"""


def users(columns: str) -> str:
    """CREATE TABLE users with these columns besides the key."""
    return (
        "CREATE TABLE public.users (uuid UUID DEFAULT uuid_generate_v4() PRIMARY KEY,"
        f" {columns}, created_at TIMESTAMP default current_timestamp NOT NULL);\n"
    )


PLAIN = "display_name text NOT NULL, handle text NOT NULL, email text NOT NULL,"
SEED = """
INSERT INTO public.users (display_name, email, handle, cognito_user_id) VALUES
  ('Ada Alm', 'ada@example.com', 'ada', 'MOCK'),
  ('Bo Berg', 'bo-has-no-address', 'bo', 'MOCK'),
  ('Cy Cole', 'ada@example.com', 'cy', 'MOCK');
INSERT INTO public.activities (user_uuid, message)
  SELECT uuid, 'the first activity' FROM public.users WHERE handle = 'ada';
"""
SCRIPTS = """
import os
URL = os.getenv("CONNECTION_URL", "postgresql://postgres:password@localhost:5432/cruddur")
table_name = "cruddur-messages"
cognito = "AWS_COGNITO_USER_POOL_ID"
"""
MIGRATE = """
import os, psycopg2
connection = psycopg2.connect(os.environ["CONNECTION_URL"])
with connection, connection.cursor() as cursor:
    cursor.execute("SELECT last_successful_run FROM schema_information")
    if (cursor.fetchone() or (0,))[0] < 17:
        cursor.execute("ALTER TABLE users ADD COLUMN bio text")
        cursor.execute("UPDATE schema_information SET last_successful_run = 17")
        print("migrated to 17")
"""


@dataclass(frozen=True)
class Shape:
    """One app: its files, the lines that its user adds to what init wrote, and its users."""

    files: dict[str, str]
    added: str = ""
    handles: tuple[str, ...] = ("ada", "bo", "cy")
    table: str = "cruddur-messages"
    remark: dict[str, str] = field(default_factory=dict)


def app(
    schema: str, seed: str = SEED, folder: str = "backend-flask/db", **more: str
) -> dict[str, str]:
    """The files of an app."""
    sql = {f"{folder}/schema.sql": schema, f"{folder}/seed.sql": seed}
    return {**sql, "backend-flask/lib/db.py": SCRIPTS, **more}


CLASSIC = UUID + DROPS + users(f"{PLAIN} cognito_user_id text NOT NULL") + ACTIVITIES

SHAPES = {
    "classic": Shape(app(CLASSIC)),
    "uuid column, nullable handle, bio": Shape(
        app(
            UUID
            + users("display_name text, handle text, email text, bio text, cognito_user_uuid text")
            + ACTIVITIES,
            SEED.replace("cognito_user_id", "cognito_user_uuid")
            + "INSERT INTO public.users (display_name) VALUES ('nobody');",
        )
    ),
    "migrations, a role of RDS": Shape(
        app(
            CLASSIC + "CREATE TABLE IF NOT EXISTS public.schema_information"
            " (id integer UNIQUE, last_successful_run text);\n"
            "ALTER TABLE public.schema_information ALTER last_successful_run TYPE bigint"
            " USING last_successful_run::bigint;\n"
            "INSERT INTO public.schema_information VALUES (1, 0) ON CONFLICT (id) DO NOTHING;\n"
            "DO $$ BEGIN CREATE USER app_iam; EXCEPTION WHEN duplicate_object THEN NULL; END $$;\n"
            "GRANT rds_iam TO app_iam;\n",
            **{"bin/db/migrate": MIGRATE},
        ),
        '\n[[step]]\nname = "migrate"\nrun = "$PYTHON bin/db/migrate"\nbefore = "db.seed"\n',
    ),
    "triggers, queries in sql/, another table name": Shape(
        app(
            CLASSIC + "ALTER TABLE public.users ADD updated_at timestamp;\n"
            "CREATE OR REPLACE FUNCTION touch() RETURNS TRIGGER AS $$ BEGIN NEW.updated_at = now();"
            " RETURN NEW; END; $$ LANGUAGE plpgsql;\n"
            "CREATE OR REPLACE TRIGGER touched BEFORE UPDATE ON users"
            " FOR EACH ROW EXECUTE PROCEDURE touch();\n",
            folder="backend-flask/sql",
            **{"bin/ddb/schema-load.py": 'table_name = "cruddur-message"\n'},
        ),
        table="cruddur-message",
    ),
    "an empty seed": Shape(app(CLASSIC, "-- nothing yet\n"), handles=()),
}
SHAPES["triggers, queries in sql/, another table name"].files["backend-flask/lib/db.py"] = (
    SCRIPTS.replace("cruddur-messages", "cruddur-message")
)
