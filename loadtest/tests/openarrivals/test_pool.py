"""The pool: who gets an arrival, who waits, and what is dropped.

gevent runs one greenlet at a time and switches only where it waits, so these tests decide who is
free when, and need no sleep.
"""

import time

import gevent
from openarrivals.pool import Arrival, Pool
from openarrivals.samples import Counts
from openarrivals.schedule import Slot


def slots(count, due_s=0.0, kind="User"):
    return [Slot(number, due_s, kind) for number in range(count)]


def waiting(pool, count=1):
    """So many users that wait for an arrival."""
    users = [gevent.spawn(pool.take, "User") for _ in range(count)]
    gevent.sleep(0)
    return users


def taken(greenlets):
    return [g.value.number if g.successful() else None for g in greenlets]


def test_a_free_user_gets_an_arrival_when_it_is_due():
    pool = Pool()
    (user,) = waiting(pool)
    pool.run(slots(1), time.time())
    gevent.joinall([user], timeout=5)
    assert taken([user]) == [0]
    assert (pool.counts.due, pool.counts.started, pool.counts.queued) == (1, 1, 0)


def test_the_user_that_was_freed_last_goes_first():
    pool = Pool()
    users = waiting(pool, 3)
    pool.run(slots(1), time.time())
    gevent.sleep(0)
    assert taken(users) == [None, None, 0]
    gevent.killall(users)


def test_an_arrival_without_a_free_user_waits_for_one():
    pool = Pool(max_queue_time_s=60)
    pool.run(slots(2), time.time())
    assert pool.counts.queued == 2
    assert [pool.take("User").number for _ in range(2)] == [0, 1]


def test_without_a_queue_time_it_is_dropped_at_once():
    pool = Pool(max_queue_time_s=0)
    pool.run(slots(3, due_s=0.001), time.time())
    assert pool.counts.dropped == 3
    assert pool.dropped_s == [0.001] * 3


def test_a_queue_time_ends():
    pool = Pool(max_queue_time_s=1.0)
    pool.run(slots(2), time.time() - 2)
    (user,) = waiting(pool)
    assert not user.ready()
    assert pool.counts.dropped == 2
    user.kill()


def test_what_still_waits_at_the_end_is_counted_as_dropped():
    pool = Pool(max_queue_time_s=60)
    pool.run(slots(4), time.time())
    pool.close()
    assert (pool.counts.dropped, pool.counts.open) == (4, 0)


def test_each_class_gets_its_own_arrivals():
    pool = Pool()
    pool.run([Slot(0, 0.0, "Reader"), Slot(1, 0.0, "Writer")], time.time())
    assert pool.take("Writer").number == 1
    assert pool.take("Reader").number == 0


def test_a_user_that_is_stopped_while_it_waits_leaves_no_trace():
    pool = Pool()
    (user,) = waiting(pool)
    user.kill()
    pool.run(slots(1), time.time())
    assert pool.take("User").number == 0


def test_an_arrival_of_a_user_that_is_stopped_goes_to_another():
    pool = Pool()
    (user,) = waiting(pool)
    user.kill(block=False)
    pool.hand_out(Arrival(5, 0.0, time.time(), 0.0), "User")
    gevent.joinall([user], timeout=5)
    assert pool.take("User").number == 5


def test_a_late_generator_says_how_late():
    pool = Pool(max_queue_time_s=60)
    pool.run(slots(1), time.time() - 0.5)
    assert pool.take("User").lag_s >= 0.5


def test_counts_of_workers_add_up():
    total = Counts(3, 3, 1, 2, 1) + Counts(2, 1, 0, 1, 0)
    assert total == Counts(due=5, started=4, queued=1, finished=3, dropped=1)
    assert total.open == 1
