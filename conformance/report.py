"""One page of HTML, and the same as JSON, on what the judges said."""

import html
from collections import Counter, OrderedDict
from datetime import datetime, timezone

import finding
import tools

ROWS = 8  # of one finding; the JSON has all of them
STATES = {
    "crashed": "judge crashed",
    "late": "judge did not end",
    "left out": "not run",
}


class Report:
    """What came of one run, on one target or more."""

    def __init__(self, title):
        self.title = title
        self.began = datetime.now(timezone.utc)
        self.targets = OrderedDict()  # label: (facts, judgements)

    def target(self, label, facts):
        self.targets.setdefault(label, (facts, []))

    def add(self, label, judgement):
        self.targets[label][1].append(judgement)

    def judgements(self):
        return [it for _, those in self.targets.values() for it in those]

    @property
    def content(self):
        ran = [it for it in self.judgements() if it.state != "left out"]
        return bool(ran) and all(it.content for it in ran)

    def data(self):
        counts = sum((it.counts for it in self.judgements()), Counter())
        return {
            "title": self.title,
            "began": self.began.isoformat(timespec="seconds"),
            "content": self.content,
            "counts": {name: counts[name] for name in finding.RESULTS},
            "targets": [
                {"target": label, "facts": facts,
                 "judgements": [it.data() for it in those]}
                for label, (facts, those) in self.targets.items()
            ],
        }

    def write(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        finding.write(folder / "report.json", self.data())
        page = folder / "report.html"
        page.write_text(self.page(), encoding="utf-8")
        return page

    def page(self):
        style = (tools.HERE / "report.css").read_text()
        when = self.began.strftime("%d %B %Y, %H:%M UTC")
        parts = [
            f"<h1>{text(self.title)}</h1>",
            f"<p class=when>{when}</p>",
            LEAD,
            self.verdict(),
            *(self.section(label) for label in self.targets),
            READING,
        ]
        return (
            "<!doctype html><html lang=en><meta charset=utf-8>"
            "<meta name=viewport content='width=device-width'>"
            f"<title>{text(self.title)}</title><style>{style}</style>"
            f"<main>{''.join(parts)}</main></html>\n"
        )

    def verdict(self):
        judged = [it for it in self.judgements() if it.state != "left out"]
        gave_up = [it for it in judged if it.state != "ran"]
        bad = [it for it in judged if it.state == "ran" and it.bad]
        fails = sum(it.counts["FAIL"] for it in judged)
        warns = sum(it.counts["WARN"] for it in judged)
        passes = sum(it.counts["PASS"] for it in judged)
        lines = []
        if not judged:
            lines.append("No judge was run.")
        elif not bad and not gave_up:
            lines.append(
                f"No judge found a fault: {passes:,} checks passed in "
                f"{many(len(judged), 'run')}, none failed, none warned."
            )
        if bad:
            lines.append(
                f"{len(bad)} of {many(len(judged), 'run')} found faults: "
                f"{many(fails, 'check')} failed, {warns:,} warned, "
                f"{passes:,} passed."
            )
        if gave_up:
            names = ", ".join(it.judge for it in gave_up)
            lines.append(
                f"{many(len(gave_up), 'run')} came to no verdict ({names}): "
                "that is neither a pass nor a fail."
            )
        left = [it for it in self.judgements() if it.state == "left out"]
        if left:
            names = ", ".join(OrderedDict.fromkeys(it.judge for it in left))
            lines.append(f"Not run: {names}; the reasons stand below.")
        kind = "good" if self.content else "bad"
        return f"<p class='verdict {kind}'>{' '.join(map(text, lines))}</p>"

    def section(self, label):
        facts, those = self.targets[label]
        listed = "".join(
            f"<dt>{text(name)}<dd>{text(value)}" for name, value in facts.items()
        )
        parts = [f"<h2>{text(label)}</h2>", f"<dl>{listed}</dl>", table(those)]
        for judgement in those:
            parts += findings(judgement)
        parts.append(untested(those))
        return f"<section>{''.join(parts)}</section>"


def text(value):
    return html.escape(str(value))


def many(count, word):
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def table(judgements):
    rows = []
    for it in judgements:
        if it.state != "ran":
            cells = f"<td colspan=4 class=none>{STATES[it.state]}: {text(it.said)}"
            word, kind = STATES[it.state], "none" if it.state == "left out" else "bad"
        else:
            cells = "".join(
                f"<td class='number {name.lower() if it.counts[name] else 'zero'}'>"
                f"{it.counts[name]:,}" for name in finding.RESULTS
            )
            if it.counts["FAIL"]:
                word, kind = "faults", "bad"
            elif it.counts["WARN"]:
                word, kind = "warnings", "warn"
            else:
                word, kind = "no fault", "good"
        remark = f"<br><small>{text(it.said)}</small>" if it.state == "ran" and it.said else ""
        took = f"{it.seconds:.0f} s" if it.seconds else ""
        rows.append(
            f"<tr><th scope=row>{text(it.judge)}<br><small>{text(it.about)}; "
            f"{text(it.version)}</small>{remark}{cells}"
            f"<td class=number>{took}<td class={kind}>{word}"
        )
    return (
        "<div class=wide><table class=judges><thead><tr><th>Judge<th>Passed<th>Warned"
        "<th>Failed<th>Not tested<th>Time<th>Verdict<tbody>"
        f"{''.join(rows)}</table></div>"
    )


def groups(found, key):
    by = OrderedDict()
    for it in found:
        by.setdefault(key(it), []).append(it)
    return sorted(by.values(), key=len, reverse=True)


def findings(judgement):
    """The faults of one judge, alike ones together, the worst first."""
    for result, word in (("FAIL", "Failed"), ("WARN", "Warned")):
        found = judgement.that(result)
        if not found:
            continue
        yield f"<h3>{text(judgement.judge)}: {word.lower()} ({len(found):,})</h3>"
        alike = groups(found, lambda it: (it.what, it.expected, it.said))
        for group in alike:
            yield card(group, result, word)


def card(group, result, word):
    first = group[0]
    rows = "".join(
        f"<tr><td><code>{text(it.where)}</code>"
        f"<td>{text(it.seen) or '<i>nothing</i>'}" for it in group[:ROWS]
    )
    more = len(group) - ROWS
    if more > 0:
        rows += f"<tr><td colspan=2>and {more:,} more, in report.json"
    what = "the resource itself" if first.what == "-" else first.what
    said = f"<p><b>The judge says:</b> {text(first.said)}</p>" if first.said else ""
    means = f"<p class=means>{text(first.means)}</p>" if first.means else ""
    times = f" <small>{len(group):,} times</small>" if len(group) > 1 else ""
    return (
        f"<article class={result.lower()}><h4><span>{word}</span> "
        f"<code>{text(what)}</code>{times}</h4>"
        f"<p><b>Expected:</b> {text(first.expected)}</p>{said}{means}"
        f"<div class=wide><table><thead><tr><th>Where<th>Seen<tbody>{rows}"
        "</table></div></article>"
    )


def untested(judgements):
    rows = []
    for it in judgements:
        for group in groups(it.that("NOT_TESTED"), lambda one: one.seen):
            names = list(OrderedDict.fromkeys(one.what for one in group))
            some = ", ".join(names[:6]) + (" …" if len(names) > 6 else "")
            rows.append(
                f"<tr><td>{text(it.judge)}<td class=number>{len(group):,}"
                f"<td>{text(group[0].seen)}<td><code>{text(some)}</code>"
            )
    if not rows:
        return ""
    return (
        "<h3>What was not tested, and why</h3><div class=wide><table><thead>"
        "<tr><th>Judge<th>Times<th>Reason<th>What"
        f"<tbody>{''.join(rows)}</table></div>"
    )


LEAD = """
<p>Redfish is the standard for managing machines over HTTPS. Programs, called
judges here, asked the service below many small questions and compared each
answer with the standard. <a href=#reading>How to read this</a></p>
"""
READING = """
<section id=reading><h2>How to read this</h2>
<p>Redfish is DMTF's standard for managing machines over HTTPS. A judge is a
program, most of them DMTF's own, that asks a service many small questions and
compares each answer with the standard.</p>
<dl>
<dt>Passed<dd>The answer is what the standard says.
<dt>Failed<dd>The answer breaks a rule: some client will stumble over it.
<dt>Warned<dd>Allowed, and advised against, or not quite certain.
<dt>Not tested<dd>The judge could not ask, mostly because the service does not
offer what is optional. It is no fault, and no proof of anything.
<dt>Judge crashed<dd>The judge itself gave up. Nothing is known then, good or bad.
</dl>
<p>A service that offers little is asked little. The profiles ask the other way
round: is what a machine of this kind needs there at all?</p></section>
"""
