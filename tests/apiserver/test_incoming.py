"""Bytes to requests: what is put together, what is refused, what is left over."""

import pytest

from sampan.apiserver.incoming import MAX_HEAD_BYTES, IncomingReader


class Read:
    """A reader, the requests that it gave out, and how often it asked for a body."""

    def __init__(self, max_body_bytes=1000):
        self.requests = []
        self.continued = 0
        self.reader = IncomingReader(max_body_bytes, self.requests.append, self._continue)

    def _continue(self):
        self.continued += 1

    def feed(self, data, step=0):
        step = step or len(data)
        for start in range(0, len(data), step):
            left = self.reader.feed(data[start : start + step])
        return left


CHUNKED = b"POST /p?x=1 HTTP/1.1\r\nHost: h\r\nX-Many: 1\r\nx-many: 2\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("step", [1, 7, 0])
def test_a_request_is_the_same_however_it_is_cut(step):
    read = Read()
    read.feed(CHUNKED + b"4\r\nbody\r\n3\r\nend\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", step)
    first, second = read.requests
    assert (first.method, first.target, first.body) == ("POST", "/p?x=1", b"bodyend")
    assert first.headers == {"host": "h", "x-many": "1, 2", "transfer-encoding": "chunked"} and first.keep_alive
    assert (second.method, second.target, second.body) == ("GET", "/", b"")
    assert read.reader.is_between_requests


def test_trailers_change_nothing():
    read = Read()
    read.feed(CHUNKED + b"4\r\nbody\r\n0\r\nAuthorization: Bearer x\r\nX-Many: 3\r\n\r\n")
    assert "authorization" not in read.requests[0].headers and read.requests[0].headers["x-many"] == "1, 2"


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nBad Name: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\n folded: x\r\n\r\n",
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(sent):
    read = Read()
    read.feed(sent)
    assert [request.error.status_code for request in read.requests] == [400] and read.reader.has_ended


def test_heads_and_bodies_are_bounded():
    read = Read()
    read.feed(b"GET / HTTP/1.1\r\nX-Long: " + b"x" * MAX_HEAD_BYTES, 1000)
    assert read.requests[0].error.status_code == 431
    for body in (b"Content-Length: 5000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n7d0\r\n" + b"x" * 2000):
        read = Read()
        read.feed(b"POST / HTTP/1.1\r\n" + body)
        assert [request.error.status_code for request in read.requests] == [413]


def test_nothing_after_a_request_to_upgrade_is_read():
    read = Read()
    left = read.feed(b"GET /x HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nGET /y HTTP/1.1\r\n\r\n")
    assert left == b"GET /y HTTP/1.1\r\n\r\n" and len(read.requests) == 1
    assert read.requests[0].upgrades and not read.requests[0].keep_alive


def test_a_client_that_waits_is_told_to_continue():
    read = Read()
    read.feed(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert read.continued == 1 and not read.requests
    read.feed(b"ab")
    assert read.requests[0].body == b"ab"


def test_an_old_client_is_known():
    read = Read()
    read.feed(b"GET / HTTP/1.0\r\n\r\n")
    assert not read.requests[0].is_http11 and not read.requests[0].keep_alive
