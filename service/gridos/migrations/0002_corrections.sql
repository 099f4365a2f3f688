-- What was stored before a sender replaced it on purpose, what stands there now, and who did it.
-- `gridos retain` deletes a correction with the readings of its time.
CREATE TABLE reading_correction (
    bus_id       text NOT NULL,
    measured_at  timestamptz NOT NULL,
    kw_before    double precision NOT NULL,
    kvar_before  double precision NOT NULL,
    kw_after     double precision NOT NULL,
    kvar_after   double precision NOT NULL,
    -- The beginning of the key's SHA-256: it names the key and gives nothing of it away.
    key          text NOT NULL,
    request_id   text NOT NULL,
    corrected_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX reading_correction_reading ON reading_correction (bus_id, measured_at);
CREATE INDEX reading_correction_age ON reading_correction (measured_at);
