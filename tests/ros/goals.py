"""A client of actions for tests: its peer spins, the test waits."""

import threading


def done(future, timeout_s=60.0):
    ended = threading.Event()
    future.add_done_callback(lambda _: ended.set())
    assert ended.wait(timeout_s)
    return future.result()


class GoalClient:
    """What every client does with a goal that was accepted. `peer`: the node that asks."""

    def __init__(self, peer):
        self.peer = peer

    def result(self, handle):
        async def waiting():
            return await handle.get_result_async()

        return self.peer.begin(waiting)

    def cancel(self, handle):
        async def cancelling():
            return await handle.cancel_goal_async()

        return self.peer.begin(cancelling)
