-- Where the relay posts an agent's push notifications for it: `off`, `public`, or a list of hosts.
ALTER TABLE workspaces ADD COLUMN push_egress TEXT NOT NULL DEFAULT 'off';
