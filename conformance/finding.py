"""What a judge found, in one form for all of them."""

import csv
import json
import re
from collections import Counter
from dataclasses import asdict, dataclass, field

import openpyxl

import meaning

RESULTS = ("PASS", "WARN", "FAIL", "NOT_TESTED")
WHOLE = "the service as a whole"
TEXT = 2000  # characters kept of anything a service or a tool says


@dataclass
class Finding:
    """Something that did not pass."""

    result: str
    where: str  # URI of the resource, or the request
    what: str  # property, assertion or test
    expected: str
    seen: str  # of what was not tested: the reason
    means: str
    said: str = ""  # the judge's own words

    def or_reason(self, sentence):
        """With its reason, if it was not tested."""
        if self.result == "NOT_TESTED":
            self.expected, self.means, self.said = "", "", ""
            self.seen = sentence.removeprefix("Skip: ")
        return self


@dataclass
class Judgement:
    """All that one judge said of one target."""

    judge: str
    about: str
    version: str
    state: str = "ran"  # ran, crashed, late, left out
    said: str = ""  # why, unless it ran; else a remark
    seconds: float = 0.0
    counts: Counter = field(default_factory=Counter)
    findings: list = field(default_factory=list)
    names: dict = field(default_factory=dict)  # assertion: its worst result
    report: str = ""  # the tool's own report

    @property
    def content(self):
        return self.state == "ran" and not self.bad

    @property
    def bad(self):
        return self.counts["FAIL"] + self.counts["WARN"]

    def add(self, finding):
        for name in ("where", "what", "expected", "seen", "said"):
            text = str(getattr(finding, name))
            short = text if len(text) <= TEXT else text[:TEXT] + "…"
            setattr(finding, name, short)
        self.findings.append(finding)

    def that(self, *results):
        return [it for it in self.findings if it.result in results]

    def say(self):
        if self.state != "ran":
            return f"{self.state}: {self.said}"
        return ", ".join(f"{name} {self.counts[name]}" for name in RESULTS)

    def data(self):
        told = asdict(self)
        told["counts"] = {name: self.counts[name] for name in RESULTS}
        return told


def result_of(text):
    text = str(text).strip().upper().replace("-", "_").replace(" ", "_")
    return "NOT_TESTED" if text in ("SKIP", "NOT_TESTED") else text


def newest(report, pattern):
    found = sorted(report.rglob(pattern), key=lambda it: it.stat().st_mtime)
    return found[-1] if found else None


def sheet(path, title):
    """The rows of one sheet, each as a table from column to text."""
    book = openpyxl.load_workbook(path, read_only=True)
    try:
        rows = book[title].iter_rows(values_only=True)
        head = [str(cell) for cell in next(rows)]
        for row in rows:
            if any(cell is not None for cell in row):
                cells = ("" if cell is None else str(cell) for cell in row)
                yield dict(zip(head, cells))
    finally:
        book.close()


def split(message):
    """The class of a message, and its sentence."""
    message = message.split("; Profile: ")[0]
    found = re.match(r"([A-Z][\w' -]+ (?:Error|Warning)): (.*)", message, re.S)
    if not found:
        return "", message
    kind, rest = found.groups()
    return kind, rest


def read_resources(judgement, report):
    """The sheets of the service validator and of the interop validator."""
    book = newest(report, "*.xlsx")
    if not book:
        return False
    judgement.report = str(book.with_suffix(".html"))
    sheets = openpyxl.load_workbook(book, read_only=True).sheetnames
    for row in sheet(book, "Results"):
        result = result_of(row["Result"])
        judgement.counts[result] += 1
        if result == "PASS":
            continue
        kind, sentence = split(row["Message"])
        judgement.add(Finding(
            result, row["URI"], row["Property"] or row["Resource Type"],
            meaning.rule(kind), row["Value"], meaning.of_class(kind), sentence,
        ).or_reason(sentence))
    if "Resources" in sheets:
        for row in sheet(book, "Resources"):
            result = result_of(row["Result"])
            judgement.counts[result] += 1
            if result == "PASS":
                continue
            kind, sentence = split(row["Message"])
            judgement.add(Finding(
                result, WHOLE, row["Resource Type"], meaning.rule(kind), "",
                meaning.of_class(kind), sentence,
            ).or_reason(sentence))
    return True


def read_use_cases(judgement, report):
    book = newest(report, "*.xlsx")
    if not book:
        return False
    judgement.report = str(book.with_suffix(".html"))
    for row in sheet(book, "Results"):
        result = result_of(row["Result"])
        judgement.counts[result] += 1
        if result != "PASS":
            judgement.add(Finding(
                result, row["Category"], row["Test Name"],
                row["Operation"] or row["Description"], row["Message"],
                f"Who scripts this cannot rely on it: {row['Description']}.",
            ).or_reason(row["Message"]))
    return True


WORST = {"PASS": 1, "NOT_TESTED": 0, "WARN": 2, "FAIL": 3}


def read_assertions(judgement, report):
    """The table of the protocol validator."""
    path = newest(report, "*.tsv")
    if not path:
        return False
    page = newest(report, "*.html")
    judgement.report = str(page) if page else ""
    with path.open(newline="", encoding="utf-8") as text:
        for row in csv.DictReader(text, delimiter="\t"):
            name, result = row["Assertion"], result_of(row["Result"])
            judgement.counts[result] += 1
            before = judgement.names.get(name, result)
            judgement.names[name] = max(before, result, key=WORST.get)
            if result == "PASS":
                continue
            asked = " ".join(
                word for word in (row["Method"], row["URI"]) if word
            )
            seen = row["Message"]
            if row["Status code"]:
                seen = f"{seen} (status {row['Status code']})"
            judgement.add(Finding(
                result, asked or WHOLE, name,
                row["Requirement"], seen, meaning.of_assertion(name),
            ).or_reason(row["Message"]))
    return True


def write(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
