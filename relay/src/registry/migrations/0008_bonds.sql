-- What ties a workspace to its counterpart on a platform. Times are unix milliseconds.
CREATE TABLE bonds (
    platform     TEXT NOT NULL,
    workspace_id TEXT NOT NULL REFERENCES workspaces (id),
    -- The handle that the platform calls. It is not the workspace's own address, since platforms
    -- show it to anyone.
    address      TEXT NOT NULL UNIQUE,
    -- Whether the counterpart was there before.
    adopted      INTEGER NOT NULL CHECK (adopted IN (0, 1)),
    step         TEXT NOT NULL,
    -- When the counterpart was last about to be made.
    begun_at     INTEGER NOT NULL,
    upstream_id  TEXT,
    paused       INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
    -- What the agent last reported of itself, as JSON.
    report       TEXT,
    -- The platform's token, sealed as secrets are; a version for each one there was.
    version      INTEGER NOT NULL DEFAULT 0,
    sealed_for   TEXT,
    value        BLOB,
    wrapped_by   TEXT,
    wrapped_key  BLOB,
    PRIMARY KEY (platform, workspace_id)
) STRICT;

-- A counterpart is one workspace's alone, until that one lets it go.
CREATE UNIQUE INDEX bonds_upstream ON bonds (platform, upstream_id)
    WHERE upstream_id IS NOT NULL AND step <> 'gone';
CREATE INDEX bonds_of ON bonds (workspace_id);
