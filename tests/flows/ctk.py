# ctk.py: reads the conformance features of the Serverless Workflow DSL (Gherkin) and checks what came out of their flows.
# SPDX-License-Identifier: Apache-2.0
#
# The features lie beside the repository (PLEXUS_SUITES). A scenario is run by the caller: it gets the document's text and the input's,
# and gives an Outcome.
import os
import pathlib
import re
import textwrap

import plexus

SUITES = pathlib.Path(os.environ.get("PLEXUS_SUITES", plexus.ROOT.parent / "shared/suites"))
FEATURES = SUITES / "serverless-workflow/ctk/features"
STEP = re.compile(r"(?:Given|When|Then|And|But) (.*)")


class Outcome:
    """What a flow came to: status "completed" or "faulted", its output or error, the names of its tasks as they began and ended."""

    def __init__(self, status, output=None, error=None, began=(), ended=()):
        self.status, self.output, self.error = status, output, error
        self.began, self.ended = list(began), list(ended)


class Scenario:
    def __init__(self, feature, name):
        self.feature, self.name = feature, name
        self.steps = []  # (words, text of the block below or None)

    def __repr__(self):
        return f"{self.feature}: {self.name}"


def read(path):
    """The scenarios of one file."""
    found, block, quote = [], None, None
    for line in path.read_text().splitlines():
        words = line.strip()
        if block is not None:
            if words.startswith('"""'):
                found[-1].steps[-1][1] = textwrap.dedent("\n".join(block)) + "\n"
                block = None
            else:
                block.append(line)
        elif words.startswith('"""'):
            block = []
        elif words.startswith("Scenario:"):
            found.append(Scenario(path.stem, words[len("Scenario:"):].strip()))
        elif found and (step := STEP.match(words)):
            found[-1].steps.append([step[1], None])
    assert block is None, f"{path}: a block without its end"
    return found


def scenarios():
    if not FEATURES.is_dir():
        plexus.skip(f"the conformance features are not at {FEATURES}")
    return [s for path in sorted(FEATURES.glob("*.feature")) for s in read(path)]


MISSING = object()


def at(value, path):
    for part in path.split("."):
        if not isinstance(value, dict) or part not in value:
            return MISSING
        value = value[part]
    return value


def equal(a, b):
    """JSON's equality: 1 is 1.0, true is not 1."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


def check(scenario, got, yaml):
    """Every step that says something about the outcome. yaml: text → value."""
    seen = 0
    for words, block in scenario.steps:
        tell = f"{scenario}: {words}: {got.status}, output {got.output!r}, error {got.error!r}, tasks {got.began}"
        if match := re.fullmatch(r"the workflow should complete(?: with output:)?", words):
            assert got.status == "completed", tell
            assert block is None or equal(got.output, yaml(block)), tell
        elif match := re.fullmatch(r"the workflow should fault(?: with error:)?", words):
            assert got.status == "faulted", tell
            wanted = yaml(block) if block else {}
            assert all(k in got.error and equal(got.error[k], v) for k, v in wanted.items()), tell
        elif words == "the workflow should cancel":
            assert got.status == "cancelled", tell
        elif match := re.fullmatch(r"the workflow output should have (?:properties|a) ((?:'[^']+'(?:, )?)+)(?: property)?", words):
            for path in re.findall(r"'([^']+)'", match[1]):
                assert at(got.output, path) is not MISSING, (path, tell)
        elif match := re.fullmatch(r"the workflow output should have a '([^']+)' property with value:", words):
            assert equal(at(got.output, match[1]), yaml(block)), tell
        elif match := re.fullmatch(r"the workflow output should have a '([^']+)' property containing (\d+) items", words):
            assert len(at(got.output, match[1])) == int(match[2]), tell
        elif match := re.fullmatch(r"(\S+) should run (first|last)", words):
            assert got.began[0 if match[2] == "first" else -1] == match[1], tell
        elif match := re.fullmatch(r"(\S+) should run (after|before) (\S+)", words):
            one, other = (match[1], match[3]) if match[2] == "before" else (match[3], match[1])
            assert got.began.index(one) < got.began.index(other), tell
        elif match := re.fullmatch(r"(\S+) should (complete|fault|cancel)", words):
            assert (match[1], match[2]) in got.ended, tell
        elif words in ("a workflow with definition:", "given the workflow input is:", "the workflow is executed"):
            continue
        else:
            raise AssertionError(f"{scenario}: a step that nobody knows: {words}")
        seen += 1
    assert seen, f"{scenario}: nothing was checked"


def block_of(scenario, words):
    return next((block for said, block in scenario.steps if said == words), None)


def document(scenario):
    return block_of(scenario, "a workflow with definition:")


def given(scenario):
    return block_of(scenario, "given the workflow input is:")
