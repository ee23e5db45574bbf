-- Whether comments break the silences of event streams, and whether refusals in JSON-RPC have status 200.
ALTER TABLE workspaces ADD COLUMN keep_alive INTEGER NOT NULL DEFAULT 1 CHECK (keep_alive IN (0, 1));
ALTER TABLE workspaces ADD COLUMN jsonrpc_errors_as_200 INTEGER NOT NULL DEFAULT 0
    CHECK (jsonrpc_errors_as_200 IN (0, 1));
