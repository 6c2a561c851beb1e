import threading

import pytest

from conure_ros.comms.worker import NewestWins


def test_the_newest_job_wins_and_the_others_are_counted(wait_until):
    begun, go_on, done = threading.Event(), threading.Event(), []

    def work(job):
        begun.set()
        go_on.wait(10)
        done.append(job)

    worker = NewestWins(work)
    worker.submit(0)
    assert begun.wait(10)
    for job in (1, 2, 3):
        worker.submit(job)
    wait_until(lambda: worker.busy_s > 0.02, 10, "the present job's time")
    go_on.set()
    wait_until(lambda: len(done) == 2 and not worker.busy_s, 10)
    worker.close()
    assert done == [0, 3]
    assert worker.dropped == 2


def test_an_error_of_the_work_is_kept_for_the_owner(wait_until):
    worker = NewestWins(lambda job: 1 / job)
    worker.submit(0)
    wait_until(lambda: worker.error is not None, 10)
    with pytest.raises(ZeroDivisionError):
        raise worker.error
