"""Shelf labels: the input as JSON on standard input, a sheet of text in `files/`, the result as the last line."""

import json
import sys
from pathlib import Path

WIDTH = 40


def main() -> None:
    given = json.load(sys.stdin)
    labels = [label(given["headline"], sku) for sku in given["skus"]]
    Path("files/labels.txt").write_text("\n".join(labels), encoding="utf-8")
    for number, sku in enumerate(given["skus"], 1):
        print(json.dumps({"done": number, "total": len(labels)}))
        print("label of", sku)
    print(json.dumps({"labels": len(labels), "file": "labels.txt"}))


def label(headline: str, sku: str) -> str:
    rule = "+" + "-" * WIDTH + "+"
    return "\n".join([rule, f"|{headline[:WIDTH]:^{WIDTH}}|", f"|{sku[:WIDTH]:^{WIDTH}}|", rule])


if __name__ == "__main__":
    main()
