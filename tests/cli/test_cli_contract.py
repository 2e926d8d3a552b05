"""The command line's own promises: exit codes, one JSON document, the error form, options anywhere."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import pytest

from ambidex import cli
from ambidex.cli.verbs import VERBS
from ambidex.errors import CODES, DataError, EnvironmentProblem, NotFound, Refused, UsageError
from ambidex.report.answer import Answer, Caution, Check, Finding, Recommendation, Result
from ambidex.stats import laws
from ambidex.stats.claim import Claim, decide
from ambidex.stats.estimate import Estimate


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the command line against a journeys of lambdas; returns (exit, stdout, stderr, calls)."""

    def go(line, **verbs):
        calls = []

        def resolve(verb):
            def call(*args, **kwargs):
                calls.append((verb, args, kwargs))
                outcome = verbs.get(verb, Result(verb=verb, data={}, lines=(("✓", "done"),)))
                if isinstance(outcome, BaseException):
                    raise outcome
                return outcome(*args, **kwargs) if callable(outcome) else outcome

            return call

        monkeypatch.setattr(cli, "resolve", resolve)
        code = cli.main(line.split() if isinstance(line, str) else line)
        out = capsys.readouterr()
        return SimpleNamespace(code=code, out=out.out, err=out.err, calls=calls)

    return go


def answer(**changes):
    e = Estimate(
        name="Contract",
        kind="marginal-effect",
        value=-31.0,
        low=-34.0,
        high=-28.0,
        n=7043,
        unit="points",
        se=1.5,
        law=laws.normal(),
        category="Two year",
        base="Month-to-month",
    )
    values = {
        "verb": "drivers",
        "question": "What goes with Churn?",
        "headline": "Contract and tenure go with Churn most.",
        "recommendation": Recommendation("act", "Offer longer contracts in a test."),
        "estimates": (e,),
        "verdicts": (decide(Claim(measure="Contract", relation="below"), e),),
        "checks": (Check("fit", True, 0.85, 0.5),),
        "cautions": (Caution("missing", "11 blank cells in TotalCharges"),),
        "findings": (Finding("A two-year contract goes with less churn", "t", "strong", "s", "h"),),
        "record": {"rows": 7043, "fingerprint": "a" * 64},
        "next": ("ambidex report answer/1",),
        "name": "answer/1",
    }
    return Answer(**(values | changes))


def one_document(text):
    assert text.endswith("\n") and text.count("\n") == 1
    return json.loads(text, parse_constant=pytest.fail)


CALLS = [
    ("profile t.csv --target y", ("t.csv",), {"target": "y"}),
    (
        "drivers t.csv --target y --exclude a --exclude b --keep c",
        ("t.csv",),
        {
            "target": "y",
            "positive": None,
            "exclude": ("a", "b"),
            "keep": ("c",),
            "time": None,
            "duration": None,
            "levers": (),
            "group": None,
        },
    ),
    (
        "experiment t.csv --group arm --metric a:share --metric n/d --shares A=.25,B=.75 --alpha .1 --margin -0.5",
        ("t.csv",),
        {
            "group": "arm",
            "metric": ("a:share", "n/d"),
            "control": None,
            "unit": None,
            "shares": "A=.25,B=.75",
            "alpha": 0.1,
            "anytime": False,
            "margin": -0.5,
            "secondary": (),
            "guardrail": (),
            "cluster": None,
            "covariate": (),
            "exposure": None,
            "time": None,
            "by": (),
            "plan": None,
        },
    ),
    (
        "plan --baseline .2 --difference .05 --looks 5 --table t.csv --metric a:share --out PLAN.json",
        (),
        {
            "metric": "a:share",
            "baseline": 0.2,
            "difference": 0.05,
            "lift": None,
            "effect": None,
            "sd": None,
            "power": 0.8,
            "alpha": 0.05,
            "arms": 2,
            "looks": 5,
            "anytime": False,
            "table": "t.csv",
            "group": None,
            "control": None,
            "unit": None,
            "cluster": None,
            "covariate": (),
            "time": None,
            "shares": None,
            "icc": None,
            "cluster_size": None,
            "r2": None,
            "size": None,
            "guardrail": (),
            "rollout": None,
            "traffic": None,
            "margin": None,
            "horizon": None,
            "out": "PLAN.json",
        },
    ),
    (
        "campaign t.csv --treatment arm --outcome spend --value .3 --cost .1 --covariate a --shares A=.9,B=.1",
        ("t.csv",),
        {
            "treatment": "arm",
            "outcome": "spend",
            "control": None,
            "value": 0.3,
            "cost": 0.1,
            "fixed_cost": 0.0,
            "covariate": ("a",),
            "observational": False,
            "unit": None,
            "time": None,
            "start": None,
            "shares": "A=.9,B=.1",
            "alpha": 0.05,
        },
    ),
    (
        "segments o.csv --unit who --time day --value paid --approach rfm,kmeans --k 4 --out s.csv",
        ("o.csv",),
        {
            "unit": "who",
            "time": "day",
            "value": "paid",
            "approach": "rfm,kmeans",
            "k": 4,
            "scale": "auto",
            "out": "s.csv",
        },
    ),
    ("report answer/1 answer/2 --to html,md", ("answer/1", "answer/2"), {"to": ("html", "md"), "out": None}),
    (
        "package answer/2 --name churn",
        ("answer/2",),
        {
            "name": "churn",
            "table": None,
            "target": None,
            "positive": None,
            "key": None,
            "time": None,
            "run": False,
            "allow_shell": False,
            "cwd": None,
            "python": None,
        },
    ),
    ("export churn@1 --to mlflow --out m", ("churn@1",), {"to": "mlflow", "out": "m"}),
    ("train churn", ("churn",), {"data": None, "trials": None, "budget": None}),
    ("test churn@1", ("churn@1",), {"ask": False, "answer": (), "because": None, "against": None}),
    ("gate churn@1", ("churn@1",), {"waive": None, "reason": None}),
    ("promote churn@1 --to live --dry-run", ("churn@1",), {"to": "live", "dry_run": True}),
    ("rollback churn --to 3", ("churn",), {"to": 3, "dry_run": False}),
    ("serve", (), {"host": "127.0.0.1", "port": 8377, "workers": 1}),
    ("serve a b --port 0", ("a", "b"), {"host": "127.0.0.1", "port": 0, "workers": 1}),
    ("bench churn --target 10000", ("churn",), {"target": 10000.0, "seconds": 3.0, "rows": 1000}),
    ("watch --once", (), {"once": True, "interval": "60"}),
    ("ui --port 0", (), {"host": "127.0.0.1", "port": 0, "grafana": None}),
    ("token", ("ls", None), {"role": None, "model": (), "expires": None}),
    ("score churn t.csv --out o.csv", ("churn", "t.csv"), {"out": "o.csv"}),
    ("models", ("ls", None, None), {"when": None, "reason": None, "dry_run": False}),
    ("models diff a@1 a@2", ("diff", "a@1", "a@2"), {"when": None, "reason": None, "dry_run": False}),
    (
        "monitor churn --ack 3",
        ("churn",),
        {"ack": "3", "mute": None, "reason": None, "until": "7d", "replay": False},
    ),
    ("investigate churn --since 14:30", ("churn",), {"since": "14:30", "id": None}),
    ("feedback churn t.csv --id i --label l", ("churn", "t.csv"), {"id": "i", "label": "l"}),
    ("drift churn t.csv", ("churn", "t.csv"), {}),
    ("retrain churn", ("churn",), {}),
    ("resume churn", ("churn",), {}),
    ("init quiet", ("quiet",), {}),
    ("demo", (None,), {"target": None, "folder": None}),
    ("status", (), {}),
    ("doctor", (), {}),
    (
        "next --answer A3=sustained --answer A1=yes",
        (),
        {"ask": False, "answer": ("A3=sustained", "A1=yes"), "team": None, "out": None},
    ),
    (
        "team skills.csv --for ml-engineer",
        ("skills.csv",),
        {"for_": "ml-engineer", "out": None},
    ),
    (
        "role posting.txt --expect ml-engineer --rewrite md",
        ("posting.txt",),
        {"kind": None, "expect": "ml-engineer", "rewrite": "md", "out": None},
    ),
    ("career skills.csv --person Ada --to staff-mle", ("skills.csv",), {"person": "Ada", "to": "staff-mle"}),
    (
        "segments t.csv --unit who --time day --value paid --approach rfm,kmeans --k 3 --out s.csv",
        ("t.csv",),
        {
            "unit": "who",
            "time": "day",
            "value": "paid",
            "approach": "rfm,kmeans",
            "k": 3,
            "out": "s.csv",
            "scale": "auto",
        },
    ),
]


@pytest.mark.parametrize(("line", "args", "options"), CALLS, ids=[c[0] for c in CALLS])
def test_each_verb_calls_the_function_of_its_name(run, line, args, options):
    done = run(line)
    assert done.code == 0
    for call in done.calls:
        # How these two speak while they work is no option.
        call[2].pop("say", None)
        call[2].pop("ready", None)
    assert done.calls == [(line.split()[0], args, {**options, "at": None})]


def test_every_verb_is_called_above():
    assert {line.split()[0] for line, _, _ in CALLS} == set(VERBS) - {"help"}


@pytest.mark.parametrize("line", ["--json drivers t.csv --target y", "drivers t.csv --json --target y"])
def test_options_of_every_verb_stand_before_or_after_it(run, line):
    document = one_document(run(line, drivers=answer()).out)
    assert list(document) == ["schema", "verb", "ok", "data", "warnings", "next"]
    assert document["schema"] == "ambidex/1" and document["verb"] == "drivers" and document["ok"] is True
    assert document["data"]["estimates"][0]["value"] == -31.0
    assert document["next"] == ["ambidex report answer/1"]
    assert document["warnings"] == [{"code": "missing", "text": "11 blank cells in TotalCharges"}]


def test_folder_is_where_it_runs(run, tmp_path, monkeypatch):
    import os

    monkeypatch.chdir(tmp_path)
    (tmp_path / "w").mkdir()
    seen = []
    run("-C w status", status=lambda at: seen.append(os.getcwd()) or Result(verb="status", data={}))
    assert seen == [str(tmp_path / "w")]
    os.chdir(tmp_path)
    missing = run("status -C nowhere")
    assert missing.code == 5 and "env.no-workspace" in missing.err and "nowhere" in missing.err


FAILURES = [
    ("promot churn@2", 2, "usage.command", "ambidex promote churn@2"),
    ("drivers t.csv --targt y", 2, "usage.option", "ambidex drivers t.csv --target y"),
    ("drivers t.csv --targt=y", 2, "usage.option", "ambidex drivers t.csv --target=y"),
    ("drivers t.csv", 2, "usage.option", "ambidex drivers customers.csv --target Churn --positive Yes"),
    ("drivers t.csv --target", 2, "usage.option", None),
    ("drivers --target y", 2, "usage.argument", None),
    ("drivers a.csv b.csv --target y", 2, "usage.argument", None),
    ("serve churn --port 99999", 2, "usage.value", "ambidex serve churn --port 8377"),
    ("serve churn --port -1", 2, "usage.value", None),
    ("serve churn --port x", 2, "usage.value", None),
    ("serve --workers 0", 2, "usage.value", None),
    ("experiment t.csv --group a --metric m --alpha 1.5", 2, "usage.value", None),
    ("experiment t.csv --group a --metric m --alpha nan", 2, "usage.value", None),
    ("experiment t.csv --group a --metric m --alpha 0", 2, "usage.value", None),
    ("experiment t.csv --group a --metric m --margin inf", 2, "usage.value", None),
    ("experiment t.csv --group a --metric m --shares A=.5,B=.6", 2, "usage.value", None),
    ("experiment t.csv --group a --metric m --shares A", 2, "usage.value", None),
    ("experiment t.csv --group a", 2, "usage.option", None),
    ("promote churn@1 --to livee", 2, "usage.value", "ambidex promote churn@1 --to live"),
    ("promote churn@1", 2, "usage.option", None),
    ("rollback churn --to 0", 2, "usage.value", None),
    ("report answer/1 --to docx", 2, "usage.value", None),
    ("report", 2, "usage.argument", None),
    ("models lss", 2, "usage.value", "ambidex models ls"),
    ("models show", 2, "usage.argument", None),
    ("models ls a b", 2, "usage.argument", None),
    ("gate churn@1 --waive better", 2, "usage.argument", None),
    ("next --answer A3", 2, "usage.value", None),
    ("demo --target y", 2, "usage.argument", None),
    ("help data.no-colum", 2, "usage.code", "ambidex help data.no-column"),
    ("--bogus", 2, "usage.option", None),
]


@pytest.mark.parametrize(("line", "code", "stable", "do"), FAILURES, ids=[f[0] for f in FAILURES])
def test_usage_errors_in_our_form_and_as_one_document(run, line, code, stable, do):
    done = run(line)
    assert (done.code, done.out, done.calls) == (code, "", [])
    lines = done.err.splitlines()
    assert lines[0].startswith("error ")
    assert [line.split()[0] for line in lines[1:]] in (
        ["where", "found", "do", "code"],
        ["where", "do", "code"],
        ["found", "do", "code"],
    )
    assert lines[-1].split()[1:] == [stable, "·", "ambidex", "help", stable]
    if do:
        assert f"  do     {do}" in lines

    document = one_document(run(f"--json {line}").out)
    assert list(document) == ["schema", "verb", "ok", "error"]
    assert document["ok"] is False and document["error"]["code"] == stable
    assert list(document["error"]) == ["code", "message", "where", "found", "do"]


def test_commands_to_try_run_from_where_the_person_is(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w").mkdir()
    assert "  next  ambidex -C w report answer/1\n" in run("-C w drivers t.csv --target y", drivers=answer()).out
    monkeypatch.chdir(tmp_path)
    unknown = NotFound("data.no-model", "no model 'chrn'; did you mean `churn`?")
    assert "  do     ambidex test churn@1 -C w\n" in run("test chrn@1 -C w", test=unknown).err
    monkeypatch.chdir(tmp_path)
    lost = NotFound("data.no-model", "no", do="ambidex models ls")
    assert "do     ambidex -C w models ls\n" in run("test x@1 -C w", test=lost).err


def test_outside_a_workspace_no_answer_is_named(run):
    done = run("drivers t.csv --target y", drivers=answer(name=None, next=("ambidex report answer/N",)))
    assert "answer/N" not in done.out and "  next  ambidex init my-project\n" in done.out


def test_the_form_is_the_one_of_the_guide(run):
    error = NotFound(
        "data.no-column",
        "no column `churn` in customers.csv; did you mean `Churned`?",
        where="customers.csv",
        found="customerID, tenure, …, Churned (21 columns)",
        do="use Churned",
    )
    done = run("drivers customers.csv --target churn", drivers=error)
    assert done.code == 3 and done.out == ""
    assert done.err == (
        "error no column `churn` in customers.csv; did you mean `Churned`?\n"
        "  where  customers.csv\n"
        "  found  customerID, tenure, …, Churned (21 columns)\n"
        "  do     ambidex drivers customers.csv --target Churned\n"
        "  code   data.no-column · ambidex help data.no-column\n"
    )


def test_every_error_has_the_whole_form(run):
    bare = DataError("data.target-missing", "churned is missing in all 200 rows")
    said = one_document(run("drivers t.csv --target churned --json", drivers=bare).out)["error"]
    assert said["where"] == "the command line"
    assert said["found"] == "ambidex drivers t.csv --target churned --json"
    assert said["do"] == "ambidex help data.target-missing"
    refused = Result(verb="gate", data={"passed": False}, lines=(("■", "no"),), passed=False, code="check.gate")
    assert all(one_document(run("gate churn@1 --json", gate=refused).out)["error"].values())


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DataError("data.empty", "0 rows"), 3),
        (EnvironmentProblem("env.port-taken", "port 8377 is taken", do="--port 8378"), 5),
        (EnvironmentProblem("env.interrupted", "stopped; version 3 is saved"), 130),
        (KeyboardInterrupt(), 130),
        (OSError(28, "No space left on device"), 5),
        (PermissionError(13, "Permission denied", "/x"), 5),
        (RuntimeError("surprise"), 1),
        (RecursionError("deep"), 1),
    ],
)
def test_exit_codes(run, error, code):
    done = run("serve churn", serve=error)
    assert done.code == code and done.err.lstrip().startswith("error ") and "Traceback" not in done.err
    document = one_document(run("serve churn --json", serve=error).out)
    assert document["ok"] is False and document["error"]["code"] in CODES
    assert "data" not in document


def test_our_bug_shows_its_trace_only_with_debug(run):
    done = run("status --debug", status=RuntimeError("surprise"))
    assert done.code == 1 and "Traceback" in done.err and "internal.bug" in done.err and done.out == ""


def test_an_option_in_do_becomes_a_whole_command(run):
    taken = EnvironmentProblem("env.port-taken", "port 8377 is taken", do="--port 8378")
    assert "do     ambidex serve churn --port 8378\n" in run("serve churn", serve=taken).err
    assert "do     ambidex serve churn --port 8378\n" in run("serve churn --port 8377", serve=taken).err


REFUSALS = [
    (
        "gate churn@2",
        Result(
            verb="gate",
            data={"passed": False, "gates": [], "x": math.nan},
            lines=(("■", "churn@2 does not pass"), ("■", "better: no")),
            passed=False,
            code="check.gate",
            do="ambidex models show churn@2",
            warnings=(("w", "t"),),
        ),
        {"passed": False, "gates": [], "x": None},
    ),
    ("promote churn@2 --to live", Refused("check.gate", "gates said no", data={"passed": False}), {"passed": False}),
]


@pytest.mark.parametrize(("line", "outcome", "data"), REFUSALS, ids=["returned", "raised"])
def test_a_check_that_says_no_gives_data_and_error(run, line, outcome, data):
    done = run(line, **{line.split()[0]: outcome})
    assert done.code == 4 and "check.gate" in done.err
    document = one_document(run(f"{line} --json", **{line.split()[0]: outcome}).out)
    assert document["ok"] is False and document["data"] == data and document["error"]["code"] == "check.gate"
    assert list(document) == ["schema", "verb", "ok", "data", "warnings", "next", "error"]


def test_a_design_that_cannot_answer_is_exit_4_with_the_answer(run):
    stopped = answer(
        verb="experiment",
        headline="The arms are not split as planned.",
        recommendation=Recommendation("cannot-answer", "Find out who is missing."),
        checks=(Check("srm", False, 1e-9, 0.001, "p = 1e−09", decides=True),),
    )
    done = run("experiment t.csv --group a --metric m", experiment=stopped)
    assert done.code == 4
    assert done.out.startswith("■ The arms are not split as planned.\n")
    assert "▲ srm" in done.out and "check.design" in done.err and "check srm" in done.err
    document = one_document(run("experiment t.csv --group a --metric m --json", experiment=stopped).out)
    assert document["ok"] is False and document["error"]["code"] == "check.design"
    assert document["data"]["headline"] == "The arms are not split as planned."


def test_an_answer_says_the_sentence_first_then_what_to_look_out_for(run):
    done = run("drivers t.csv --target y", drivers=answer())
    assert done.err == ""
    assert done.out == (
        "✓ Contract and tenure go with Churn most.\n"
        "  Offer longer contracts in a test.\n"
        "\n"
        "▲ missing  11 blank cells in TotalCharges\n"
        "\n"
        "  1  A two-year contract goes with less churn\n"
        "\n"
        "  marginal effect                                 value           95% interval      n\n"
        "  Contract = Two year, not Month-to-month  −31.0 points  −34.0 to −28.0 points  7,043\n"
        "\n"
        "answer/1 · 7,043 rows · data aaaaaaaaaaaaaaaa · some evidence\n"
        "\n"
        "  next  ambidex report answer/1\n"
    )


def test_quiet_is_the_answer_only_and_verbose_is_all_of_it(run):
    assert run("drivers t.csv --target y --quiet", drivers=answer()).out == (
        "✓ Contract and tenure go with Churn most.\n  Offer longer contracts in a test.\n"
    )
    assert "supported" in run("drivers t.csv --target y --verbose", drivers=answer()).out


def test_names_from_files_cannot_move_the_cursor(run):
    done = run("drivers t.csv --target y", drivers=answer(headline="col\x1b[2J\rname goes with y"))
    assert "\x1b" not in done.out and "\r" not in done.out and r"\x1b[2J" in done.out
    failed = run("profile t.csv", profile=DataError("data.empty", "x\x1b]0;t\x07\ny"))
    assert "\x1b" not in failed.err and len(failed.err.splitlines()) == 5


def test_results_show_lines_warnings_and_what_next(run):
    result = Result(
        verb="retrain",
        data={"state": "nothing-new"},
        lines=(("✓", "nothing new: 0 new rows"), (" ", "last trained on 5,634")),
        warnings=(("age", "the verdict is 8 days old"),),
        next=("ambidex monitor churn", "ambidex next"),
    )
    assert run("retrain churn", retrain=result).out == (
        "✓ nothing new: 0 new rows\n"
        "  last trained on 5,634\n"
        "\n"
        "▲ age  the verdict is 8 days old\n"
        "\n"
        "  next  ambidex monitor churn\n"
        "        ambidex next\n"
    )


def test_the_demo_prints_each_step_when_it_has_happened(run, capsys):
    def demo(table, *, target, folder, say, at):
        assert capsys.readouterr().out == ""
        say("✓", "data", "7,043 rows", 0.42)
        out = capsys.readouterr().out
        assert out.startswith("ambidex 0.1.0  one run") and out.endswith("\n✓  data        7,043 rows  0.4 s\n")
        say("▲", "", "left out duration", None)
        return Result(verb="demo", data={}, lines=(("✓", "Done in 19 s."),), next=("ambidex next",))

    assert run("demo", demo=demo).out == "▲              left out duration\n✓ Done in 19 s.\n\n  next  ambidex next\n"


def test_waiting_is_said_on_stderr_and_never_in_quiet(run, monkeypatch):
    import time

    from ambidex.cli import progress

    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.02)

    def slow(table, *, target, at):
        time.sleep(0.2)
        return answer()

    done = run("profile t.csv", profile=slow)
    assert done.err.startswith("profile, 0 s\n") and done.out.startswith("✓ ")
    assert run("profile t.csv --quiet", profile=slow).err == ""


def test_help_lists_explains_and_shows_a_verb(run):
    listed = run("help")
    assert listed.code == 0 and listed.out == run("--help").out == run("").out
    order = [listed.out.index(f"\n{group}\n") for group in ("Explore", "Deliver", "Run", "Advise")]
    assert order == sorted(order)
    for verb in VERBS.values():
        assert f"  {verb.name} " in listed.out
    assert CODES["data.no-column"] in run("help data.no-column").out
    assert run("help drivers").out == run("drivers --help").out == run("drivers -h").out
    assert one_document(run("help data.no-column --json").out)["data"]["text"] == CODES["data.no-column"]
    assert len(one_document(run("--help --json").out)["data"]["verbs"]) == len(VERBS)
    assert one_document(run("--version --json").out)["data"]["version"] == "0.1.0"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_that_fits_the_terminal_and_names_its_options(run, verb):
    done = run(f"{verb} --help")
    assert done.code == 0 and done.calls == []
    assert max(map(len, done.out.splitlines())) <= 110
    for param in VERBS[verb].params:
        assert (param.opts[0] if param.opts[0].startswith("-") else str(param.metavar)) in done.out
    for example in VERBS[verb].examples:
        assert example in done.out


def test_examples_parse(run):
    import shlex

    for verb in VERBS.values():
        for example in verb.examples:
            program, *words = shlex.split(example)
            if program == "ambidex" and verb.name != "help":
                assert run(words).code == 0, example


def test_a_wrong_name_is_mended_where_it_was_typed(run):
    wrong = UsageError("usage.name", "'../x' is not a name for a model", do="--name churn")
    assert one_document(run("train ../x --json", train=wrong).out)["error"]["do"] == "ambidex models ls"
    wrong = UsageError("usage.name", "'../x' is not a name for a model", do="--name churn")
    said = one_document(run("package answer/1 --name ../x --json", package=wrong).out)
    assert said["error"]["do"] == "ambidex package answer/1 --json --name churn"


def test_a_folder_that_is_not_there_is_not_where_to_go(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = one_document(run("-C nowhere status --json").out)["error"]
    assert said["do"] == "ambidex init nowhere"


def test_a_demo_that_cannot_start_leaves_stdout_empty(run):
    done = run("demo t.csv --target nope", demo=NotFound("data.no-column", "no column `nope` in t.csv"))
    assert done.code == 3 and done.out == ""
