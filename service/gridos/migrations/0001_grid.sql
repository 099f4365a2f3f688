-- Feeders, their buses and lines, and the load readings of buses.

CREATE TABLE feeder (
    id         text PRIMARY KEY,
    name       text NOT NULL,
    nominal_kv double precision NOT NULL CHECK (nominal_kv > 0),
    rated_kva  double precision NOT NULL CHECK (rated_kva > 0)
);

CREATE TABLE bus (
    id           text PRIMARY KEY,
    feeder_id    text NOT NULL REFERENCES feeder (id),
    number       integer NOT NULL,
    nominal_kw   double precision NOT NULL,
    nominal_kvar double precision NOT NULL,
    rated_kva    double precision CHECK (rated_kva > 0),
    UNIQUE (feeder_id, number)
);

CREATE TABLE line (
    from_bus text NOT NULL REFERENCES bus (id),
    to_bus   text NOT NULL REFERENCES bus (id),
    r_ohm    double precision NOT NULL,
    x_ohm    double precision NOT NULL,
    rated_a  double precision CHECK (rated_a > 0),
    PRIMARY KEY (from_bus, to_bus)
);

-- The key makes a reading that is sent twice the same reading, and finds a bus's latest one.
-- Partitions are months: `gridos migrate` and `gridos retain` make the coming ones, and what is old
-- goes by dropping a table, which leaves nothing to vacuum.
-- No foreign key: its check a row costs as much as storing the row. The service knows the buses and
-- refuses others, and no statement of it deletes a bus.
CREATE TABLE reading (
    bus_id      text NOT NULL,
    measured_at timestamptz NOT NULL,
    kw          double precision NOT NULL,
    kvar        double precision NOT NULL,
    PRIMARY KEY (bus_id, measured_at)
) PARTITION BY RANGE (measured_at);

-- For readings of months that nobody made a partition for: late, early, or wrong by their clock.
CREATE TABLE reading_other PARTITION OF reading DEFAULT;
