-- What an agent may be asked, of all together and of the holder of a token: how fast, how much at a time, which
-- methods.
ALTER TABLE workspaces ADD COLUMN rate_per_1000_s INTEGER CHECK (rate_per_1000_s > 0);
ALTER TABLE workspaces ADD COLUMN in_flight_max INTEGER CHECK (in_flight_max > 0);
ALTER TABLE workspaces ADD COLUMN methods TEXT NOT NULL DEFAULT 'all';
ALTER TABLE credentials ADD COLUMN rate_per_1000_s INTEGER CHECK (rate_per_1000_s > 0);
ALTER TABLE credentials ADD COLUMN in_flight_max INTEGER CHECK (in_flight_max > 0);
ALTER TABLE credentials ADD COLUMN methods TEXT NOT NULL DEFAULT 'all';
