"""The card of a classifier that leaves: for what it is, on what it was trained, how good it is; in Hugging Face's form."""

from __future__ import annotations

import datetime
from typing import Any

from app import ingest_files
from app.model_facts import Facts
from model import classifier

MOST_CLASSES = 200  # rows of the table of counts


def text(model: classifier.Classifier, facts: Facts) -> str:
    """Markdown with YAML in front. The licence is left to the person: nobody else knows it."""
    parts = [_front(facts), _head(model), _use(), _data(facts), _rounds(facts), _metrics(facts), _limits(model)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front(facts: Facts) -> str:
    lines = [
        "---",
        "license: other",
        "license_name: fill-in",
        "pipeline_tag: image-classification",
        "library_name: raum",
    ]
    if facts.measured and facts.measured.get("accuracy") is not None:
        lines += ["metrics:", "- accuracy"]
    return "\n".join([*lines, "tags:", "- image-classification", "- fine-grained", "- uncertainty", "---"])


def _head(model: classifier.Classifier) -> str:
    config = model.net.config
    middle = ", whose middle it sees once more, larger" if config.crops > 1 else ""
    return (
        f"# Classifier of {len(model.names)} classes\n\n"
        f"RAUM-Net with the backbone `{_short(config.backbone)}`, attention `{config.attention}` and a Bayesian head, for "
        f"pictures of {config.image_size} x {config.image_size} pixels{middle}. The licence is for you to fill in, above: "
        "it depends on the pictures, and on the weights that the backbone started from."
    )


def _use() -> str:
    return f"""## Use

With RAUM at hand:

```python
from model import classifier
net = classifier.load("FOLDER_OF_THIS_FILE")
print(net(["a.jpg", "b.jpg"]))
```

or `python launch.py predict --ckpt FOLDER_OF_THIS_FILE DIR`. Without it: `model.json` says how pictures go in and what comes
out, `model.onnx`, if it is here, does the rest. Probabilities are the mean of {classifier.DRAWS} posterior draws, which are
always the same ones."""


def _data(facts: Facts) -> str:
    if facts.trained:
        return (
            f"## Data\n\n{facts.trained['labelled']:,} labelled images of the data set {_cell(facts.trained['name'])}."
        )
    if not facts.counts:
        return "## Data\n\nNot known: exported without its workspace."
    sources = ", ".join(f"{count:,} by {_source(name)}" for name, count in sorted(facts.sources.items()))
    people = f"{facts.people} annotator{'' if facts.people == 1 else 's'}"
    rows = [f"| {_cell(name)} | {count:,} |" for name, count in list(facts.counts.items())[:MOST_CLASSES]]
    left = len(facts.counts) - len(rows)
    more = f"\n\n{left:,} more classes are left out of this table." if left else ""
    table = "\n".join(["| class | labels |", "|---|---|", *rows])
    return (
        f"## Data\n\n{sum(facts.counts.values()):,} labelled images ({sources}; {people}, not named here), and, "
        f"semi-supervised, the unlabelled ones of the same pool. The holdout is no part of them.\n\n{table}{more}"
    )


def _rounds(facts: Facts) -> str:
    if not facts.rounds:
        return ""
    rows = []
    for each in facts.rounds:
        day = each["finished_at"] and datetime.datetime.fromtimestamp(each["finished_at"], datetime.timezone.utc)
        told = [each["round"], f"{day:%Y-%m-%d}" if day else "", each.get("labels", ""), each.get("method", "")]
        rows.append("| " + " | ".join(_cell(str(cell)) for cell in told) + " |")
    return "\n".join(["## Rounds", "", "| round | finished | labels | method |", "|---|---|---|---|", *rows])


def _metrics(facts: Facts) -> str:
    told = facts.measured
    if not told:
        return (
            "## Metrics and calibration\n\nNot measured: there is no answered holdout. Do not trust the probabilities "
            "before you have measured them."
        )
    low, high = told["low"], told["high"]
    rows = [f"| accuracy | {told['accuracy']:.3f} (95 % interval {low:.3f} to {high:.3f}) |"]
    names = {
        "ece": "expected calibration error (15 bins)",
        "nll": "negative log-likelihood, nats",
        "brier": "Brier score",
    }
    rows += [f"| {name} | {told[key]:.3f} |" for key, name in names.items() if told.get(key) is not None]
    cold = "" if facts.temperature == 1.0 else f" Logits are divided by {facts.temperature:.3f} (temperature)."
    apart = told.get("other_classes")
    left = f" {apart} holdout images of classes that it does not know are left out." if apart else ""
    table = "\n".join(["| figure | value |", "|---|---|", *rows])
    return f"## Metrics and calibration\n\nOn {told['n']:,} images of {_cell(told['on'])}.{cold}{left}\n\n{table}{_onnx(facts)}"


def _onnx(facts: Facts) -> str:
    if not facts.onnx:
        return ""
    apart = max(facts.onnx["apart"].values())
    on = f"{facts.onnx['images']} images" if facts.onnx["images"] else "pictures of noise"
    return f"\n\n`model.onnx` in onnxruntime against torch, on {on}: differences of at most {apart:.1e} in any output."


def _limits(model: classifier.Classifier) -> str:
    return f"""## Intended use and limits

Meant for pictures like those it was trained on, of these {len(model.names)} classes. It gives every picture one of them,
whatever it shows: a high `epistemic` uncertainty or a low probability is a reason to ask a person, a high probability on
another kind of picture is none to believe it. Figures hold for pictures drawn as the holdout was. Not for decisions about
people."""


def _source(name: str) -> str:
    return {"page": "people on the page", "import": "import", "oracle": "a simulated oracle"}.get(name, name)


def _short(backbone: str) -> str:
    """Its name without the folders of this machine."""
    kind, colon, place = backbone.rpartition(":")
    return kind + colon + ingest_files.shown(place.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]).replace("`", "'")


def _cell(value: Any) -> str:
    """A text that no table and no markup is broken by."""
    plain = ingest_files.shown(str(value))
    return "".join(f"\\{char}" if char in "\\|`*_[]<>" else char for char in plain)
