"""Random queries that Prometheus parses, of what gates are made of and what they never hold."""

HASHES = ('rollouts_pod_template_hash="latest0hash"', 'hash="latest0hash"', 'pod=~"shop-.*"')
MATCHERS = (
    *HASHES, 'status=~"5.."', 'status!~"5.."', 'status="500", status="503"', 'code="500"',
    'le="0.25"', 'le!="+Inf"', 'job="shop"', 'resource="cpu"', 'route="/a"', 'grpc_code!="OK"',
    'method=~".+"', 'error!=""', '__name__=~"a.*"',
)  # fmt: skip
METRICS = (
    "http_requests_total", "istio_requests_total", "grpc_server_handled_total", "foo:bar", "up",
    "request_duration_seconds_bucket", "request_duration_seconds_count", "x_total",
    "request_duration_seconds_sum", "kube_pod_container_status_restarts_total",
    "container_cpu_usage_seconds_total", "kube_pod_container_resource_limits",
)  # fmt: skip
OPERATORS = (
    "/",
    "*",
    "+",
    "-",
    "or",
    "and",
    "unless",
    ">",
    ">=",
    "<",
    "== bool",
    "%",
    "^",
    "atan2",
)
MATCHING = ("", "on ()", "ignoring (status)", "on (pod)", "on () group_left ()")
AGGREGATIONS = ("sum", "avg", "max", "min", "count", "stddev", "group")
GROUPS = ("", "by (pod)", "by (le)", "by (status)", "without (status)", "by (route)")
FUNCTIONS = ("abs", "sqrt", "ln", "exp", "ceil", "round", "sgn", "absent", "sort")
OVER_TIME = ("max_over_time", "avg_over_time", "rate", "increase", "last_over_time", "delta")
SUBQUERIES = ("1m:10s", "5m:1m", "1m:", "10s:1m")


def selector(rng, ranged):
    text = f"{rng.choice(METRICS)}{{{', '.join(rng.sample(MATCHERS, rng.randint(0, 3)))}}}"
    text += f"[{rng.choice(('30s', '1m', '5m'))}]" if ranged else ""
    return text + rng.choice(("",) * 9 + (" offset 30s", " offset 5m", " offset -1m"))


def query(rng, depth):
    """A query of so many levels."""
    if depth == 0:
        leaves = (f"sum(increase({selector(rng, True)}))", f"rate({selector(rng, True)})")
        return rng.choice((*leaves, selector(rng, False), "vector(0)", "vector(1)"))
    inner = query(rng, depth - 1)
    other = query(rng, rng.randrange(depth))
    with_number = [sign for sign in OPERATORS if sign not in ("or", "and", "unless")]
    return rng.choice(
        (
            f"{rng.choice(AGGREGATIONS)} {rng.choice(GROUPS)} ({inner})",
            f"({inner}) {rng.choice(OPERATORS[:4])} {rng.choice(MATCHING)} ({other})",
            f"({inner}) {rng.choice(('or', 'and', 'unless'))} {rng.choice(MATCHING[:4])} ({other})",
            f"({inner}) {rng.choice(with_number)} {rng.choice(('0', '0.05', '300'))}",
            f"{rng.choice(FUNCTIONS)}({inner})",
            f"clamp_min({inner}, {rng.choice(('0', 'scalar(vector(1))'))})",
            f"{rng.choice(OVER_TIME)}(({inner})[{rng.choice(SUBQUERIES)}])",
            f"histogram_quantile({rng.choice(('0.95', '2', 'scalar(vector(1))'))}, {inner})",
        )
    )
