import pytest
from gridos.tracecontext import IDS, Identifier

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def identify(request_id, traceparent, *, kept=False):
    given = {"HTTP_X_REQUEST_ID": request_id, "HTTP_TRACEPARENT": traceparent}
    environ = {name: value for name, value in given.items() if value is not None}
    ids = Identifier(kept=kept).identify(environ)
    assert environ[IDS] is ids
    return ids


def test_a_sound_trace_goes_on_with_a_span_of_our_own():
    ids = identify("my-id.7", f"00-{TRACE}-{SPAN}-01")
    assert (ids.request, ids.trace, ids.sampled) == ("my-id.7", TRACE, True)
    assert ids.span != SPAN
    assert ids.traceparent == f"00-{TRACE}-{ids.span}-01"


def test_a_trace_that_is_not_kept_says_so():
    assert identify(None, f"00-{TRACE}-{SPAN}-00", kept=True).traceparent.endswith("-00")


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        f"00-{TRACE}-{SPAN}",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\n",
        f'00-{TRACE}-{SPAN}-0"',
    ],
)
def test_anything_else_begins_a_trace_anew(given):
    ids = identify(None, given)
    assert ids.trace != TRACE
    assert (len(ids.trace), len(ids.span), ids.request) == (32, 16, ids.span)
    assert not ids.sampled
    assert identify(None, given, kept=True).sampled


def test_a_later_version_is_read_as_far_as_it_is_known():
    assert identify(None, f"01-{TRACE}-{SPAN}-01-more").trace == TRACE
