-- Credentials beside the keys of connectors, what agents say of themselves, secrets, and the trail
-- of what was done. Times are unix milliseconds.

-- Agent keys have neither an id nor a scope.
ALTER TABLE credentials ADD COLUMN id TEXT;
ALTER TABLE credentials ADD COLUMN scope TEXT;

CREATE UNIQUE INDEX credentials_by_id ON credentials (id) WHERE id IS NOT NULL;
CREATE INDEX credentials_revoked ON credentials (revoked_at)
    WHERE id IS NOT NULL AND revoked_at IS NOT NULL;
CREATE INDEX credentials_expiring ON credentials (expires_at)
    WHERE id IS NOT NULL AND expires_at IS NOT NULL;

-- Counting what a workspace has of one kind reads the index alone.
DROP INDEX credentials_of;
CREATE INDEX credentials_of ON credentials (workspace_id, kind, revoked_at);

-- Where an agent says that it is, and the card it brought, as JSON.
ALTER TABLE workspaces ADD COLUMN url TEXT;
ALTER TABLE workspaces ADD COLUMN card TEXT;
ALTER TABLE workspaces ADD COLUMN registered_at INTEGER;
ALTER TABLE workspaces ADD COLUMN last_seen_at INTEGER;

CREATE TABLE secrets (
    workspace_id TEXT NOT NULL REFERENCES workspaces (id),
    name         TEXT NOT NULL,
    version      INTEGER NOT NULL,
    -- The value under a key of its own, which the wrapping key wraps. What the value is bound to
    -- names the wrapping key of its day, and a re-wrapping leaves the value as it is.
    sealed_for   TEXT NOT NULL,
    value        BLOB NOT NULL,
    wrapped_by   TEXT NOT NULL,
    wrapped_key  BLOB NOT NULL,
    updated_at   INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, name)
) STRICT;

CREATE TABLE events (
    -- Never given twice: whoever reads on from a number misses nothing.
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    at           INTEGER NOT NULL,
    actor        TEXT NOT NULL,
    source       TEXT,
    action       TEXT NOT NULL,
    -- No reference: the trail outlives what it speaks of.
    workspace_id TEXT,
    detail       TEXT NOT NULL
) STRICT;

CREATE INDEX events_of ON events (workspace_id, seq);
