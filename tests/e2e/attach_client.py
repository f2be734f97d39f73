"""A client of the attach protocol, written from docs/attach-protocol.md alone: nothing of vramd is imported."""
import array
import json
import mmap
import os
import socket


class Refused(Exception):
    """An answer that refuses; `code` is the problem's, `data` its document."""

    def __init__(self, error):
        super().__init__(error["message"])
        self.number, self.data = error["code"], error["data"]
        self.code = self.data["code"]


class Attach:
    """One connection. Descriptors of an answer become mappings, or are closed."""

    def __init__(self, path, name="test", **hello):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(60)
        self.progress, self.asked, self.last_id = [], [], 0
        try:
            self.socket.connect(path)
            self.hello = self.call("hello", version=1, client=name, **hello) if name is not None else None
        except BaseException:
            self.socket.close()
            raise

    def send(self, method, **params):
        self.last_id += 1
        self.socket.send(json.dumps({"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params}).encode())
        return self.last_id

    def receive(self):
        """The next message and its descriptors."""
        packet, beside, flags, _ = self.socket.recvmsg(65536, socket.CMSG_SPACE(8 * 4))
        descriptors = array.array("i")
        for level, kind, content in beside:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors.frombytes(content[:len(content) // 4 * 4])
        if not packet:
            raise ConnectionError("the daemon has closed the connection")
        assert flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC) == 0
        return json.loads(packet), list(descriptors)

    def answer(self, call):
        """The answer to that call and its descriptors; progress on the way is kept."""
        while True:
            message, descriptors = self.receive()
            if message.get("method") == "progress":
                self.progress.append(message["params"])
            elif message.get("method") == "reclaim":
                self.asked.append(message["params"])
            elif "error" in message:
                raise Refused(message["error"])
            else:
                assert message["id"] == call, message
                return message["result"], descriptors

    def hear_asked(self):
        """The next thing that this client is asked to let go of."""
        while not self.asked:
            message, _ = self.receive()
            assert message["method"] == "reclaim", message
            self.asked.append(message["params"])
        return self.asked.pop(0)

    def call(self, method, **params):
        result, descriptors = self.answer(self.send(method, **params))
        for descriptor in descriptors:
            os.close(descriptor)
        return result

    def map(self, method, **params):
        """Allocates or attaches: the result and its memory, mapped as its mode says."""
        result, descriptors = self.answer(self.send(method, **params))
        try:
            memory = result["memory"]
            kind, access = {"read": (mmap.MAP_SHARED, mmap.PROT_READ), "write": (mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE),
                            "private": (mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)}[memory["mode"]]
            assert memory["offsetBytes"] == 0
            mapped = mmap.mmap(descriptors[memory["descriptor"]], memory["sizeBytes"], kind, access)
            if "tensorTable" in result:
                table = result["tensorTable"]
                result["tensors"] = json.loads(os.pread(descriptors[table["descriptor"]], table["sizeBytes"], 0))
            return result, mapped
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
