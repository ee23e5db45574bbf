-- What a workspace is for, and how much it matters: told to people and to other agents, read by nothing.

ALTER TABLE workspaces ADD COLUMN role TEXT;
ALTER TABLE workspaces ADD COLUMN tier INTEGER CHECK (tier BETWEEN 1 AND 4);
