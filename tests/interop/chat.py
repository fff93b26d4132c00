"""One side of a conversation, over the library `websockets`.

usage: chat.py URL ME PEER     does everything that a client does with PEER, who does the same; exit status 0 if all of it came as it should
       chat.py --check         exit status 77 if the library is absent
"""
import base64
import json
import sys
from contextlib import contextmanager

try:
    import websockets
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect
except ImportError:
    print("the package websockets is absent: pip install websockets")
    sys.exit(77)

PATIENCE_S = 60
ALL_BYTES = base64.b64encode(bytes(range(256))).decode()


def posts(me, peer):
    """What is published, each beside what the peer must see of it."""
    to = f"direct:{peer}"
    long = "é" * 30_000
    odd = "Grüße 🔔 \0 \" \\ \n \u2028 </script>"
    return [
        ({"type": "publish", "conversation": to, "body": "hi"}, {"body": "hi"}),
        ({"type": "publish", "conversation": {"kind": "direct", "id": peer}, "body": odd}, {"body": odd}),
        ({"body": long, "ttl_ms": 3_600_000, "conversation": to, "type": "publish"}, {"body": long, "ttl_ms": 3_600_000}),
        (
            {"type": "publish", "conversation": to, "content_type": "image/png", "body_base64": ALL_BYTES, "client_id": "c-1"},
            {"content_type": "image/png", "body_base64": ALL_BYTES, "client_id": "c-1"},
        ),
        ({"type": "message", "to": to, "content": "plain", "sender": me, "timestamp": [None]}, {"body": "plain"}),
    ]


@contextmanager
def client_of(url, **options):
    """A client on a WebSocket, which is closed in the end."""
    with connect(url, open_timeout=PATIENCE_S, **options) as socket:
        yield Client(socket)


class Client:
    def __init__(self, socket):
        self.socket = socket

    def send(self, **fields):
        # Not only ASCII, so that the server reads text as well as escapes.
        self.socket.send(json.dumps(fields, ensure_ascii=fields.get("ref", 0) % 2 == 0))

    def receive(self):
        text = self.socket.recv(timeout=PATIENCE_S)
        assert isinstance(text, str), "JSON comes as text"
        return json.loads(text)

    def answer(self, ref):
        """The answer to a request; what comes before it is of no interest."""
        while (got := self.receive()).get("ref") != ref:
            pass
        return got


def talk(url, me, peer):
    """Sends everything, gets everything, in order and once; errors in between end nothing."""
    with client_of(url, subprotocols=["campanile.v1.json"]) as client:
        assert client.socket.subprotocol == "campanile.v1.json"
        client.send(type="connect", ref=1, token=f"dev:{me}", device="interop")
        welcome = client.receive()
        assert (welcome["type"], welcome["ref"], welcome["user"]) == ("welcome", 1, me), welcome
        mine, theirs = posts(me, peer), [seen for _, seen in posts(peer, me)]
        for ref, (post, _) in enumerate(mine, start=10):
            client.send(ref=ref, **post)
        client.send(type="publish", ref=90, conversation=peer, body="nowhere")
        client.send(type="message", ref=91, to=f"direct:{peer}", content="not me", sender=peer)
        assert client.socket.ping().wait(PATIENCE_S), "a ping is answered"
        places, errors, messages = [], {}, []
        while len(places) < len(mine) or len(errors) < 2 or len(messages) < len(theirs):
            got = client.receive()
            if got["type"] == "ack":
                assert got["ref"] == 10 + len(places), "the acks come in order"
                places.append((got["epoch"], got["seq"]))
            elif got["type"] == "error":
                errors[got["ref"]] = (got["code"], got["message"])
            elif got["type"] == "message":
                messages.append(got)
        assert errors == {
            90: ("bad_request", "conversation: expected direct:USER, group:ID, topic:ID or broadcast"),
            91: ("sender_mismatch", "sender: not the user of this session"),
        }, errors
        place = {"conversation": f"direct:{peer}", "sender": peer}
        assert len(messages) == len(theirs)
        for got, seen in zip(messages, theirs):
            rest = {key: value for key, value in got.items() if key not in ("type", "epoch", "seq", "time_ms")}
            assert rest == place | seen, got
        assert sorted(places) == places and len(set(places)) == len(places), places
        last = messages[-1]
        client.send(type="receipt", ref=50, conversation=f"direct:{peer}", kind="read", cursor={"epoch": last["epoch"], "seq": last["seq"]})
        assert client.answer(50) == {"type": "done", "ref": 50}
    assert client.socket.close_code == 1000
    return places + [(got["epoch"], got["seq"]) for got in messages]


def read_again(url, me, peer, places):
    """Another device, without a sub-protocol, from the beginning: every place once, in order."""
    with client_of(url) as client:
        assert client.socket.subprotocol is None
        resume = [{"conversation": f"direct:{peer}", "cursor": {"epoch": 0, "seq": 0}}]
        client.send(type="connect", token=f"dev:{me}", device="reader", resume=resume)
        seen = []
        while len(seen) < len(places):
            got = client.receive()
            if got["type"] == "message":
                seen.append((got["epoch"], got["seq"]))
        assert seen == sorted(places), (seen, places)


def refused(url):
    """Nobody logs in like this: a word before the end, and the code of the end."""
    with client_of(url) as client:
        client.send(type="connect", token="nobody")
        goodbye = client.receive()
        assert (goodbye["type"], goodbye["code"]) == ("go_away", "login_failed"), goodbye
        try:
            client.receive()
        except ConnectionClosed as end:
            assert (end.rcvd.code, end.rcvd.reason) == (4105, "login_failed"), end.rcvd
            return
        raise AssertionError("the connection goes on")


def main(arguments):
    if arguments == ["--check"]:
        print(f"websockets {websockets.__version__}")
        return
    url, me, peer = arguments
    places = talk(url, me, peer)
    read_again(url, me, peer, places)
    refused(url)


if __name__ == "__main__":
    main(sys.argv[1:])
