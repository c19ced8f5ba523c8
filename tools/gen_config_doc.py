#!/usr/bin/env python3
# gen_config_doc.py: makes docs/CONFIG.md from src/config/schema.json, a table for each section.
# SPDX-License-Identifier: Apache-2.0
"""
gen_config_doc.py             writes docs/CONFIG.md
gen_config_doc.py --check     exits with 1 and says so when docs/CONFIG.md is not what the schema makes
gen_config_doc.py SCHEMA OUT  other files

Standard library only.
"""
import json
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TYPES = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false",
         "array": "list", "object": "keys"}
UNITS = {"duration": "duration", "size": "size", "address": "address", "url": "URL"}
RELOAD = {"live": "at once", "model": "the model restarts", "restart": "the node must restart"}

INTRO = """\
# plexus.yaml

<!-- Made by tools/gen_config_doc.py from src/config/schema.json: do not edit. -->

{description}

The node reads the file that `--config` names, else `plexus.yaml` in its folder. Without one it makes a configuration from the models that it
finds. `plexus config check` says everything that is wrong with a file, `plexus config show` what counts after defaults, `plexus config schema`
prints the JSON Schema, so that editors complete and check:

```yaml
# yaml-language-server: $schema=plexus.schema.json
```

Relative paths are below the file's folder. Durations are written `250ms`, `90s`, `1h30m`, `2d`, `never`; sizes `64KiB`, `8GiB` (1024) or `64KB` (1000), a
bare number being bytes. A secret never stands in the file: it is named as `{{ env: NAME }}` or `{{ file: PATH }}`. On a reload (SIGHUP or
`plexus config reload`) a wrong file is refused whole and the old configuration goes on; the last column says what a change needs.
"""


class Schema:
    def __init__(self, root):
        self.root = root

    def merged(self, node):
        """The keywords of a node over those of its $ref."""
        ref = node.get("$ref")
        if not ref:
            return node
        target = self.root
        for part in ref[2:].split("/"):
            target = target[part]
        target = {k: v for k, v in target.items() if k != "examples"}  # of the type, not of the key
        return {**target, **{k: v for k, v in node.items() if k != "$ref"}}


def listed(value):
    return value if isinstance(value, list) else [value]


def kind(node):
    if node.get("x-secret"):
        return "secret"
    if "enum" in node:
        return " \\| ".join("`%s`" % v for v in node["enum"])
    if node.get("x-unit") in UNITS:
        words = ["`%s`" % w for w in node.get("x-words", [])] + [UNITS[node["x-unit"]]]
        return " or ".join(words + (["list"] if "array" in listed(node["type"]) else []))
    if node.get("x-path"):
        return "path"
    names = [TYPES[t] for t in listed(node.get("type", "object")) if t != "null"]
    return " or ".join(names)


def value(v):
    return "`%s`" % (v if isinstance(v, str) else json.dumps(v, ensure_ascii=False))


def bounds(node):
    out = []
    if "x-unit" not in node:
        for key, text in (("minimum", "at least %s"), ("exclusiveMinimum", "more than %s"),
                          ("maximum", "at most %s")):
            if key in node:
                out.append(text % node[key])
    for key, text in (("x-min", "at least %s"), ("x-max", "at most %s")):
        if key in node:
            out.append(text % node[key])
    return " and ".join(out)


def meaning(node):
    text = node["description"]
    limits = bounds(node)
    if limits:
        text += " Takes %s." % limits
    if "x-engines" in node:
        text += " Only with engine %s." % " and ".join(node["x-engines"])
    examples = [e for e in node.get("examples", []) if e != node.get("default")]
    if examples and "enum" not in node:
        text += " For example %s." % ", ".join(value(e) for e in examples)
    if "x-later" in node:
        text += " Not there yet: %s." % ", ".join(node["x-later"])
    return text.replace("|", "\\|").replace("<", "&lt;")


def rows(schema, node, prefix, reload):
    for key, prop in node.get("properties", {}).items():
        prop = schema.merged(prop)
        own = prop.get("x-reload", reload)
        if prop.get("properties") and not prop.get("x-secret") and kind(prop) == "keys":
            yield from rows(schema, prop, prefix + key + ".", own)
            continue
        default = prop.get("default")
        shown = value(default) if default is not None else ""
        if "x-default" in prop:
            shown = {"host": "the machine's name", "context": "`dev.NAME.node1`"}[prop["x-default"]]
        yield "| `%s%s` | %s | %s | %s | %s |" % (prefix, key, kind(prop), shown, meaning(prop), RELOAD[own])
        each = prop.get("additionalProperties")
        if isinstance(each, dict) and each.get("properties"):  # of each of them
            yield from rows(schema, schema.merged(each), "%s%s.%s." % (prefix, key, prop.get("x-name", "NAME")), own)


def table(schema, node, prefix, reload):
    return ["| key | value | default | meaning | a change |", "|---|---|---|---|---|",
            *rows(schema, node, prefix, node.get("x-reload", reload)), ""]


def document(root):
    schema = Schema(root)
    out = [INTRO.format(description=root["description"])]
    for name, section in root["properties"].items():
        section = schema.merged(section)
        if name == "models":
            model = schema.merged(section["additionalProperties"])
            out += ["## models", "", section["description"] + " " + "Names are 1 to 128 letters, digits and `. _ : / -`.", ""]
            out += table(schema, model, "models.NAME.", "model")
        elif section.get("properties"):
            out += ["## " + name, "", section["description"], ""]
            out += table(schema, section, name + ".", "live")
        else:
            out += ["## " + name, ""]
            out += table(schema, {"properties": {name: section}}, "", section.get("x-reload", "live"))
    later = ", ".join("`%s`" % k for k in root["x-later-keys"])
    out += ["## Not there yet", "", "These sections belong to later parts and are refused with a word about it: %s." % later, ""]
    return "\n".join(out)


def main(argv):
    check = argv[1:] == ["--check"]
    paths = [a for a in argv[1:] if a != "--check"]
    source = paths[0] if paths else os.path.join(ROOT, "src/config/schema.json")
    target = paths[1] if len(paths) > 1 else os.path.join(ROOT, "docs/CONFIG.md")
    with open(source, encoding="utf-8") as f:
        text = document(json.load(f))
    if check:
        try:
            with open(target, encoding="utf-8") as f:
                same = f.read() == text
        except OSError:
            same = False
        if not same:
            sys.exit("docs/CONFIG.md is not what src/config/schema.json makes: run tools/gen_config_doc.py")
        return
    with open(target, "w", encoding="utf-8") as f:
        f.write(text)


if __name__ == "__main__":
    main(sys.argv)
