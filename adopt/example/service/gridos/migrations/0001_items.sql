-- The example's one table. Replace it before the first release, and only add to it afterwards.

CREATE TABLE item (
    id        text PRIMARY KEY,
    name      text NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT now()
);

-- `gridos retain` looks for the oldest.
CREATE INDEX item_stored_at ON item (stored_at);
