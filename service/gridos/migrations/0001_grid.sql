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
    UNIQUE (feeder_id, number)
);

CREATE TABLE line (
    from_bus text NOT NULL REFERENCES bus (id),
    to_bus   text NOT NULL REFERENCES bus (id),
    r_ohm    double precision NOT NULL,
    x_ohm    double precision NOT NULL,
    PRIMARY KEY (from_bus, to_bus)
);

-- The key makes a reading that is sent twice the same reading, and finds a bus's latest one.
CREATE TABLE reading (
    bus_id      text NOT NULL REFERENCES bus (id),
    measured_at timestamptz NOT NULL,
    kw          double precision NOT NULL,
    kvar        double precision NOT NULL,
    PRIMARY KEY (bus_id, measured_at)
);
