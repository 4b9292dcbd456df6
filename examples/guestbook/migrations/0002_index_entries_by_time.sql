-- The front page asks for the newest entries.
CREATE INDEX entries_by_time ON entries (created_at);
