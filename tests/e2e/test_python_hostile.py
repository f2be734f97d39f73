#!/usr/bin/python3
"""The Python package in hands that do everything wrong: callbacks that raise, calls that are interrupted or cancelled, values that no call can say, memory used
after it was given back, forks, threads, pickles. Nothing hangs, nothing is left behind, and each refusal names what was wrong."""
import asyncio
import contextlib
import faulthandler
import gc
import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import threading
import time
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path[:0] = [os.path.join(ROOT, "python"), os.path.dirname(os.path.abspath(__file__))]
import vramd  # noqa: E402
from attach_files import write_bytes_model  # noqa: E402
from daemon import Daemon  # noqa: E402

try:
    import numpy
except ImportError:
    numpy = None

MIB = 1 << 20
DEVICE = 64 * MIB


class PythonHostile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="vramd-python-")
        cls.pattern = write_bytes_model(os.path.join(cls.folder.name, "eight.safetensors"), 8 * MIB, 1)
        cls.daemon = Daemon(devices=[f"host:a={DEVICE}"], model_dirs=[cls.folder.name], arguments=["--ram-cache", "0"], door="unix").__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.daemon.__exit__(None, None, None)
        cls.folder.cleanup()

    def setUp(self):
        self.descriptors = len(os.listdir("/proc/self/fd"))

    def tearDown(self):
        """Nothing is held, nothing is left, there or here."""
        gc.collect()
        self.daemon.default.close()
        self.until(lambda: self.clients() == 0, "the model is held")
        self.until(lambda: not [item for item in self.daemon.get("/api/memory/allocations").ok()["items"] if item["owner"] != "vramd"], "memory is left")
        self.daemon.default.close()
        self.until(lambda: len(os.listdir("/proc/self/fd")) <= self.descriptors, "descriptors are left")
        self.assertTrue(self.daemon.get("/api/audit").ok()["ok"])

    def connect(self):
        return vramd.connect(self.daemon.socket_path)

    def clients(self):
        return next((model["attachedClients"] for model in self.daemon.get("/api/model/status").ok()["loadedModels"]), 0)

    def until(self, true, what):
        end = time.monotonic() + 30
        while not true():
            self.assertLess(time.monotonic(), end, what)

    def unload(self):
        self.until(lambda: self.daemon.delete("/api/model/unload?name=eight.safetensors&keepCached=false").status in (200, 404), "the model is held")

    # ------------------------------------------------------------------------------------------------------------------ callbacks
    def test_what_progress_raises_load_raises_and_the_client_goes_on(self):
        with self.connect() as memory:
            self.unload()

            def breaks(_):
                raise ZeroDivisionError("mine")

            with self.assertRaisesRegex(ZeroDivisionError, "mine"):
                memory.load("eight.safetensors", progress=breaks)
            self.assertEqual(bytes(memory.load("eight.safetensors")["bytes"].memory[:8]), self.pattern[:8])
            self.unload()
            with self.assertRaisesRegex(vramd.Conflict, "from another"):  # It would wait for itself.
                memory.load("eight.safetensors", progress=lambda _: memory.models())
            with self.assertRaisesRegex(TypeError, "progress"):
                memory.load("eight.safetensors", progress=5)
            self.assertTrue(memory.models())
        with self.assertRaisesRegex(TypeError, "on_reclaim"):
            vramd.connect(self.daemon.socket_path, on_reclaim=5)

    # --------------------------------------------------------------------------------------------------------------------- values
    def test_what_no_call_can_say_is_refused_by_its_field(self):
        nothing = float("nan")
        with self.connect() as memory:
            for field, wrong in (("/model", lambda: memory.load("\udc80")), ("/model", lambda: memory.load(b"bytes")), ("/model", lambda: memory.load(None)),
                                 ("/model", lambda: memory.load("x" * 70000)), ("/path", lambda: memory.load("m", path=b"bytes")), ("/priority", lambda: memory.load("m", priority=nothing)),
                                 ("/tensors", lambda: memory.load("m", tensors="bytes")), ("/tensors", lambda: memory.load("m", tensors=7)),
                                 ("/tensors/1", lambda: memory.load("m", tensors=["bytes", None])), ("/mode", lambda: memory.load("m", mode=7)),
                                 ("/sizeBytes", lambda: memory.allocate(None)), ("/sizeBytes", lambda: memory.allocate(1.5)), ("/sizeBytes", lambda: memory.allocate(True)),
                                 ("/sizeBytes", lambda: memory.allocate(-1)), ("/sizeBytes", lambda: memory.allocate(1 << 70)), ("/sizeBytes", lambda: memory.allocate(10**5000)),
                                 ("/sizeBytes", lambda: memory.allocate("9" * 400 + ".5TiB")), ("/sizeBytes", lambda: memory.allocate("12 parsecs")),
                                 ("/timeoutSeconds", lambda: memory.allocate(1, timeout=-0.5)), ("/timeoutSeconds", lambda: memory.allocate(1, timeout=nothing)),
                                 ("/timeoutSeconds", lambda: memory.allocate(1, timeout=float("inf"))), ("/timeoutSeconds", lambda: memory.allocate(1, timeout="5")),
                                 ("/timeoutSeconds", lambda: memory.allocate(1, timeout=10**400)), ("/purpose", lambda: memory.allocate(1, purpose="a\0b")),
                                 ("/purpose", lambda: memory.allocate(1, purpose="x" * 129)), ("/persistent", lambda: memory.allocate(1, persistent="yes")),
                                 ("/deviceId", lambda: memory.allocate(1, device=object())), ("/allocationId", lambda: memory.attach(None)), ("/allocationId", lambda: memory.free(object())),
                                 ("/from", lambda: memory.events(from_="0")), ("/type", lambda: memory.events(type=5)), ("/type/0", lambda: memory.events(type=[5])),
                                 ("/client", lambda: vramd.connect(self.daemon.socket_path, client="ä" * 65)), ("/client", lambda: vramd.connect(self.daemon.socket_path, client="\udc80"))):
                with self.assertRaises(vramd.InvalidField) as caught:
                    wrong()
                self.assertEqual(caught.exception.field, field, str(caught.exception)[:200])
                self.assertIn(field.split("/")[1], str(caught.exception))
            with self.assertRaises(vramd.InvalidField) as caught:
                memory.allocate(1, purpose="x" * 129)
            self.assertEqual((caught.exception.value, caught.exception.limit), (129, 128))
            with self.assertRaises(vramd.InvalidField) as caught:
                memory.load("x" * 70000)
            self.assertEqual(caught.exception.limit, 65536)
            self.assertGreater(caught.exception.value, 70000)
            self.assertEqual(memory.allocations(owner=memory.owner), [])

    @unittest.skipIf(numpy is None, "no NumPy")
    def test_numbers_of_numpy_and_exact_texts_are_sizes(self):
        with self.connect() as memory:
            self.assertEqual(memory.allocate(numpy.int64(8192)).nbytes, 8192)
            self.assertEqual(memory.allocate("0.3 MiB").nbytes, 3 * MIB // 10)

    def test_half_a_second_is_waited_for_and_not_cut_to_none(self):
        with self.connect() as memory, memory.allocate(DEVICE - 16 * MIB):
            with self.assertRaises(vramd.TimedOut):
                memory.allocate(32 * MIB, timeout=0.5)

    # ------------------------------------------------------------------------------------------------------------- used when it is gone
    def test_what_was_given_back_says_so(self):
        with self.connect() as memory:
            made = memory.allocate(4096)
            view = made.memory
            view[:4] = b"kept"
            made.free()
            made.free()
            self.assertEqual(bytes(view[:4]), b"kept")  # Still mapped, as long as it is referred to.
            for use in (lambda: made.memory, made.tobytes, lambda: made.write(b"x"), made.torch, lambda: made.__array_interface__, made.__dlpack__):
                with self.assertRaisesRegex(ValueError, f"{made.id} was closed"):
                    use()
            self.assertEqual(repr(made), f"<Allocation {made.id} 4.0 KiB on a closed>")
            model = memory.load("eight.safetensors")
            tensor = model["bytes"]
            model.close()
            model.close()
            self.assertEqual((len(model), repr(model)), (0, "<Model eight.safetensors safetensors closed>"))
            with self.assertRaisesRegex(ValueError, "was closed"):
                model.memory  # pylint: disable=pointless-statement
            with self.assertRaises(KeyError):
                model["bytes"]
            self.assertEqual(tensor.tobytes()[:8], self.pattern[:8])
        memory.close()
        self.assertRegex(repr(memory), r"^<Client ses_")
        for call in (lambda: memory.load("eight.safetensors"), lambda: memory.allocate(1), lambda: memory.attach(made.id), lambda: memory.free(made.id), memory.models, memory.events):
            with self.assertRaisesRegex(vramd.Disconnected, "was closed"):
                call()

    def test_bytes_are_written_whole_or_not_at_all(self):
        with self.connect() as memory, memory.allocate(4096) as made:
            made.write(memoryview(b"abcdefgh").cast("I"), 4088)
            self.assertEqual(made.tobytes()[4088:], b"abcdefgh")
            for kind, wrong in ((ValueError, lambda: made.write(b"xx", 4095)), (ValueError, lambda: made.write(memoryview(bytes(8)).cast("I"), 4090)), (ValueError, lambda: made.write(b"x", -1)),
                                (TypeError, lambda: made.write("text")), (TypeError, lambda: memory.attach(made.id).write(b"x"))):
                with self.assertRaises(kind):
                    wrong()
            self.assertEqual(made.tobytes()[4088:], b"abcdefgh")

    @unittest.skipIf(numpy is None, "no NumPy")
    def test_an_array_outlives_tensor_model_client_and_connection(self):
        memory = self.connect()
        shared = numpy.from_dlpack(memory.load("eight.safetensors", mode="private")["bytes"])
        unused = memory.load("eight.safetensors", mode="private")["bytes"].__dlpack__()  # Nobody takes it.
        memory.close()
        del memory
        gc.collect()
        self.until(lambda: self.clients() == 0, "the connection lives")
        self.assertEqual(shared[:8].tobytes(), self.pattern[:8])
        del unused, shared
        gc.collect()
        with open("/proc/self/maps", encoding="utf-8") as maps:
            self.assertNotIn("memfd:vramd", maps.read())

    def test_nothing_that_is_mapped_here_can_be_pickled_and_errors_can(self):
        with self.connect() as memory:
            model = memory.load("eight.safetensors")
            for handle in (memory, model, model["bytes"], memory.allocate(4096)):
                with self.assertRaises(TypeError):
                    pickle.dumps(handle)
            with self.assertRaises(vramd.InsufficientMemory) as caught:
                memory.allocate("1TiB")
            again = pickle.loads(pickle.dumps(caught.exception))
            self.assertEqual((type(again), str(again), again.code, again.requested_bytes, again.suggestions),
                             (vramd.InsufficientMemory, str(caught.exception), "insufficient-memory", 1 << 40, caught.exception.suggestions))
            del model, handle

    # -------------------------------------------------------------------------------------------------------------- processes, threads
    def test_a_child_that_forked_does_not_keep_its_parents_connection(self):
        memory = self.connect()
        made = memory.allocate(4096)
        fork = multiprocessing.get_context("fork")
        ready, go = fork.Pipe()
        child = fork.Process(target=lambda: (ready.send(1), ready.recv(), memory.close(), gc.collect()))
        child.start()
        try:
            go.recv()
            memory.close()
            self.until(lambda: self.daemon.get(f"/api/memory/allocation/{made.id}").status == 404, "the child holds it")
        finally:
            go.send(1)
            child.join()
        self.assertEqual(child.exitcode, 0)
        ready.close()
        go.close()
        child.close()

    def test_a_child_that_ends_costs_its_parent_nothing(self):
        with self.connect() as memory:
            made = memory.allocate(4096)
            session = memory._connection.session["session"]
            child = os.fork()
            if child == 0:
                try:
                    made.close()
                    memory.close()
                    del made, memory
                    gc.collect()
                finally:
                    os._exit(0)
            self.assertEqual(os.waitpid(child, 0)[1], 0)
            self.assertEqual([item["id"] for item in memory.allocations(owner=memory.owner)], [made.id])
            self.assertEqual(memory._connection.session["session"], session)

    def test_a_killed_parents_memory_is_free_though_its_child_lives(self):
        reader, writer = os.pipe()
        parent = os.fork()
        if parent == 0:
            try:
                made = self.connect().allocate(4096)
                if os.fork() == 0:
                    os.write(writer, f"{os.getpid()} {made.id}".encode())
                signal.pause()
            finally:
                os._exit(1)
        child, made = os.read(reader, 100).decode().split()
        try:
            os.kill(parent, signal.SIGKILL)
            os.waitpid(parent, 0)
            self.until(lambda: self.daemon.get(f"/api/memory/allocation/{made}").status == 404, "the child holds it")
        finally:
            os.kill(int(child), signal.SIGKILL)
            os.close(reader)
            os.close(writer)

    def test_threads_whose_client_is_closed_under_them_end(self):
        memory, ends = self.connect(), []
        begun = threading.Barrier(9)

        def work():
            begun.wait()
            try:
                while True:
                    memory.load("eight.safetensors")
                    memory.allocate(4096).free()
            except vramd.Disconnected:
                ends.append("disconnected")
            except BaseException as error:  # pylint: disable=broad-except
                ends.append(repr(error))

        threads = [threading.Thread(target=work, daemon=True) for _ in range(8)]
        for thread in threads:
            thread.start()
        begun.wait()
        memory.close()
        for thread in threads:
            thread.join(30)
        self.assertEqual(ends, ["disconnected"] * 8)

    # ------------------------------------------------------------------------------------------------------- interrupted and cancelled
    def given_back(self, wait):
        """`wait` waits for memory that has no room yet and is broken off. What comes of it then is freed."""
        with self.connect() as other, other.events(type=["allocationReserved", "allocationFreed"], owner=other.owner) as events:
            filler = other.allocate(DEVICE - 16 * MIB)
            next(events)
            with self.connect() as memory:
                faulthandler.dump_traceback_later(120, exit=True)  # Rather than wait for what never comes.
                self.addCleanup(faulthandler.cancel_dump_traceback_later)
                wait(memory)
                filler.free()
                self.assertEqual(next(events).type, "allocationFreed")
                made = next(events)
                self.assertEqual((made.type, made.data["sizeBytes"]), ("allocationReserved", 32 * MIB))
                freed = next(events)  # While its client lives.
                self.assertEqual((freed.type, freed.data["allocationId"]), ("allocationFreed", made.data["allocationId"]))
                self.assertEqual(memory.allocations(owner=memory.owner), [])

    def test_a_call_that_ctrl_c_breaks_off_leaves_nothing(self):
        def wait(memory):
            def interrupt():
                while not memory._connection._calls:
                    pass
                os.kill(os.getpid(), signal.SIGINT)

            thread = threading.Thread(target=interrupt)
            with self.assertRaises(KeyboardInterrupt):
                thread.start()
                memory.allocate(32 * MIB, timeout=600)
            thread.join()

        self.given_back(wait)

    def test_a_call_that_asyncio_cancels_leaves_nothing(self):
        def wait(memory):
            async def cancelled():
                with self.assertRaises(asyncio.TimeoutError):
                    await asyncio.wait_for(vramd.AsyncClient(memory).allocate(32 * MIB, timeout=600, persistent=True), 0.01)

            asyncio.run(cancelled())

        self.given_back(wait)

    def test_a_subscription_and_a_load_that_asyncio_cancels_leave_nothing(self):
        async def work():
            async with await vramd.aconnect(self.daemon.socket_path) as memory:
                for _ in range(50):
                    tasks = [asyncio.ensure_future(memory.events()), asyncio.ensure_future(memory.load("eight.safetensors"))]
                    await asyncio.sleep(0)  # They are asked now.
                    for task in tasks:
                        task.cancel()
                    for task in tasks:
                        with contextlib.suppress(asyncio.CancelledError, vramd.Conflict):
                            await task
                while True:
                    try:
                        async with await memory.events(from_=0, follow=False) as events:
                            async for event in events:
                                self.assertGreater(event.number, 0)
                                break
                        break
                    except vramd.Conflict:  # The daemon learns of the last one's end by and by.
                        await asyncio.sleep(0)

        asyncio.run(work())

    # -------------------------------------------------------------------------------------------------------------- events for asyncio
    def test_asyncio_reads_events_over_the_next_core_without_a_gap(self):
        async def work():
            async with await vramd.aconnect(self.daemon.socket_path) as memory:
                async with await memory.events(type=["allocationReserved", "allocationFreed"]) as events:
                    made = []
                    for round_ in range(4):
                        mine = await memory.allocate(4096)
                        made.append(mine.id)
                        await memory.free(mine.id)
                        if round_ < 3:
                            await asyncio.to_thread(self.daemon.kill_core)
                    seen = []
                    while len(seen) < 8:
                        with contextlib.suppress(asyncio.TimeoutError):  # Who is cancelled in between misses none.
                            seen.append(await asyncio.wait_for(events.__anext__(), 0.02))
                    self.assertEqual([(event.type, event.data["allocationId"]) for event in seen], [(type_, id_) for id_ in made for type_ in ("allocationReserved", "allocationFreed")])
                    self.assertEqual(repr(events), f"<AsyncEvents from {seen[-1].number + 1}>")
                self.assertIn("closed", repr(events))
                with self.assertRaises(StopAsyncIteration):
                    await events.__anext__()
                past = [event async for event in await memory.events(from_=seen[0].number, type="allocationReserved", follow=False)]
                self.assertEqual([event.data["allocationId"] for event in past], made)
                with self.assertRaises(vramd.InvalidField):
                    await memory.events(type="nonsense")

        asyncio.run(work())


if __name__ == "__main__":
    unittest.main()
