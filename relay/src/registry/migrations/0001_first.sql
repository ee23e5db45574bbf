-- The first form of the store. Times are unix milliseconds; hashes are 32 bytes.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE workspaces (
    id         TEXT PRIMARY KEY,
    org_id     TEXT NOT NULL,
    parent_id  TEXT REFERENCES workspaces (id),
    name       TEXT NOT NULL,
    callers    TEXT NOT NULL,
    expose     TEXT NOT NULL,
    paused     INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
    created_at INTEGER NOT NULL,
    -- A removed workspace keeps its row, so that its id is known to be gone for good.
    removed_at INTEGER
) STRICT;

CREATE TABLE addresses (
    address      TEXT PRIMARY KEY,
    workspace_id TEXT NOT NULL REFERENCES workspaces (id),
    created_at   INTEGER NOT NULL,
    -- A retired address keeps its row, so that it never leads to another workspace.
    retired_at   INTEGER
) STRICT;

CREATE UNIQUE INDEX addresses_live ON addresses (workspace_id) WHERE retired_at IS NULL;

CREATE TABLE aliases (
    alias        TEXT PRIMARY KEY,
    workspace_id TEXT NOT NULL UNIQUE REFERENCES workspaces (id)
) STRICT;

CREATE TABLE credentials (
    hash         BLOB PRIMARY KEY CHECK (length(hash) = 32),
    kind         TEXT NOT NULL,
    workspace_id TEXT REFERENCES workspaces (id),
    label        TEXT,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    last_used_at INTEGER,
    revoked_at   INTEGER
) STRICT;

CREATE INDEX credentials_of ON credentials (workspace_id);

CREATE TABLE join_tokens (
    hash         BLOB PRIMARY KEY CHECK (length(hash) = 32),
    workspace_id TEXT NOT NULL REFERENCES workspaces (id),
    uses_left    INTEGER NOT NULL CHECK (uses_left >= 0),
    expires_at   INTEGER NOT NULL,
    created_at   INTEGER NOT NULL
) STRICT;

CREATE INDEX join_tokens_of ON join_tokens (workspace_id);
CREATE INDEX join_tokens_by_expiry ON join_tokens (expires_at);

-- Which keys a join token has let in. They go with their token.
CREATE TABLE redemptions (
    token_hash  BLOB NOT NULL REFERENCES join_tokens (hash) ON DELETE CASCADE,
    key_hash    BLOB NOT NULL CHECK (length(key_hash) = 32),
    redeemed_at INTEGER NOT NULL,
    PRIMARY KEY (token_hash, key_hash)
) STRICT;
