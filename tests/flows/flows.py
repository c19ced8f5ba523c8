# flows.py: a node that runs flows, with a stand-in for the public servers that documents of others name.
# SPDX-License-Identifier: Apache-2.0
import json
import re
import signal

import ctk
import plexus
from plexus import PLEXUS, Node, wait_until
from standin import Standin

PASS = "document: {dsl: 1.0.3, namespace: test, name: pass, version: 1.0.0}\ndo:\n- same:\n    set:\n      value:\n"


class Flows(Node):
    """`plexus up` with flows; run() starts one over the API and waits for its end."""

    def __init__(self, config=None, **more):
        self.stand_in = Standin()
        self.stand_in.__enter__()
        config = dict(config or {})
        section = config.setdefault("flows", {})
        section["hosts"] = self.stand_in.hosts() | section.get("hosts", {})
        self.tail = None
        super().__init__(config, **more)

    def __exit__(self, *exc):
        if self.tail:
            self.tail.end(signal.SIGKILL)
        self.stand_in.__exit__()
        return super().__exit__(*exc)

    def api(self, method, path, body=None):
        answer = self.ask(method, path, body)
        return answer.status, answer.json

    # ---- the order of tasks: lifecycle events on the bus

    def listen(self):
        if self.tail:
            return
        others = self.api("GET", "/api/bus")[1]["subscriptions"]
        self.tail = plexus.JsonLines(PLEXUS, "bus", "sub", "dev.organs.flow.life", "--json", "--data", str(self.data))
        wait_until("somebody listens", lambda: self.api("GET", "/api/bus")[1]["subscriptions"] > others)

    def events(self, run):
        """The lifecycle events of one run so far, in order."""
        rows = [row["data"] if isinstance(row.get("data"), dict) and "specversion" in row["data"] else row for row in self.tail.rows()]
        return [row for row in rows if run in json.dumps(row)]

    def order(self, run):
        wait_until("the end was heard", lambda: any(re.search(r"workflow\.(completed|faulted|cancelled)", e["type"]) for e in self.events(run)))
        began, ended = [], []
        for event in self.events(run):
            name = event.get("data", {}).get("task", "")
            name = name if isinstance(name, str) else name.get("name", "")
            name = name.rsplit("/", 1)[-1]
            if re.search(r"\.task\.started", event["type"]):
                began.append(name)
            for word, said in (("completed", "complete"), ("faulted", "fault"), ("cancelled", "cancel")):
                if re.search(rf"\.task\.{word}", event["type"]):
                    ended.append((name, said))
        return began, ended

    def run(self, document, input=None, order=False, wait="60s"):
        if order:
            self.listen()
        status, got = self.api("POST", "/api/flows", {"document": document, "wait": wait, **({} if input is None else {"input": input})})
        assert status == 200, (status, got, document)
        began, ended = self.order(got["id"]) if order else ((), ())
        return ctk.Outcome(got["status"], got.get("output"), got.get("error"), began, ended)

    def value(self, text):
        """A YAML text as the node itself reads it."""
        body = PASS + "".join(f"        {line}\n" for line in text.splitlines())
        return self.run(body).output["value"]
