-- Whether a signed card of a workspace is never edited.
ALTER TABLE workspaces ADD COLUMN strict_card INTEGER NOT NULL DEFAULT 0 CHECK (strict_card IN (0, 1));
