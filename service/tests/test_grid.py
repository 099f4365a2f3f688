"""The domain: what loads add up to, and where they are too many."""

from gridos.domain.grid import find_overloads, group, sort, sum_loads


def test_loads_add_up_as_vectors_and_a_silent_bus_adds_nothing():
    rows = [{"kw": 3.0, "kvar": 0.0}, {"kw": 0.0, "kvar": 4.0}, {"kw": None, "kvar": None}]
    load = sum_loads(rows, rated_kva=10)
    assert (load.kva, load.share_of_rating, load.reporting_buses) == (5.0, 0.5, 2)


def bus(name, kw, rated_kva, feeder="f", feeder_rated_kva=100.0):
    return {
        "feeder_id": feeder,
        "feeder_rated_kva": feeder_rated_kva,
        "bus_id": name,
        "rated_kva": rated_kva,
        "kw": kw,
        "kvar": None if kw is None else 0.0,
    }


def test_overloads_are_buses_and_feeders_above_their_rating_the_worst_first():
    rows = [bus("a", 60.0, 50.0), bus("b", 60.0, None), bus("c", None, 1.0), bus("d", 9.0, 9.0)]
    found = [(o.bus_id, o.share_of_rating) for o in sort(find_overloads(rows))]
    assert found == [(None, 1.29), ("a", 1.2)]


def test_feeders_are_summed_each_by_itself():
    rows = [bus("a", 60.0, None), bus("b", 60.0, None, feeder="g")]
    assert find_overloads(rows) == []


def test_feeders_are_grouped_up_to_a_bound_and_a_larger_one_stands_alone():
    counts = {"a": 3, "b": 4, "c": 3, "d": 50, "e": 9, "f": 1}
    assert group(counts, 10) == [["a", "b", "c"], ["d"], ["e", "f"]]
    assert group({}, 10) == []
