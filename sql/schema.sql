-- The app's tables. Loaded in one transaction by ./invoke db.schema-load.

CREATE TABLE users (
    uuid            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    display_name    text NOT NULL,
    handle          text NOT NULL UNIQUE,
    email           text NOT NULL,
    cognito_user_id text,
    created_at      timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE activities (
    uuid                   uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_uuid              uuid NOT NULL REFERENCES users (uuid),
    message                text NOT NULL,
    replies_count          integer NOT NULL DEFAULT 0,
    reposts_count          integer NOT NULL DEFAULT 0,
    likes_count            integer NOT NULL DEFAULT 0,
    reply_to_activity_uuid uuid REFERENCES activities (uuid),
    expires_at             timestamptz,
    created_at             timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX activities_user_uuid_created_at ON activities (user_uuid, created_at DESC);
