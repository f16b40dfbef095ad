-- Mock data. Loaded in one transaction by ./invoke db.seed; ON CONFLICT makes a second load harmless.
-- The uuids are fixed: the conversations in DynamoDB refer to them, also after a rebuild.

INSERT INTO users (uuid, display_name, handle, email) VALUES
    ('0b9fd7a4-6f0e-4d6e-9f4b-2d1c6a3f7e10', 'Korney Belov', 'korney', 'korney@example.com'),
    ('c4e2a1d8-93b7-4f52-8a6d-5e7f0b1c2d39', 'Smirnov Hale', 'smirnov', 'smirnov@example.com')
ON CONFLICT DO NOTHING;

INSERT INTO activities (uuid, user_uuid, message, expires_at) VALUES
    ('7d3f9b52-1c84-4e0a-b6f7-8a2e5c4d1f06', '0b9fd7a4-6f0e-4d6e-9f4b-2d1c6a3f7e10',
     'The weather station on the radio mast is back on the air!', now() + interval '30 days')
ON CONFLICT DO NOTHING;
