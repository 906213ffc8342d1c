import json
import re
import time

import pandas as pd
import pytest
from builders import as_nobody, make_explanations, make_source
from conftest import LINKED, LINKED_SAE, PAGE
from neuronpedia_server import FakeApi, FakeExports, Fault
from typer.testing import CliRunner

from featurediff import load
from featurediff.cli import app
from featurediff.errors import DataError
from featurediff.features.thresholds import Threshold, Thresholds
from featurediff.meaning.explain import explain
from featurediff.meaning.explanation_files import parse_explanations
from featurediff.meaning.neuronpedia_server import Servers

SOURCE = "qwen2.5-7b-it/15-resid-post-aa"
FOLDER = f"/v1/{SOURCE}/explanations"
KEEPS = "What was received is kept: run the same command again later to go on from there."
BATCHES = [f"{FOLDER}/batch-{n}.jsonl.gz" for n in range(5)]
COLUMNS = ["feature_id", "explanation", "type", "model", "url"]

# Of 24 features 21 are kept. Ordered as strings: 0 1 10 11 12 | 13 14 15 16 17 | 18 19 2 20 …, of some two texts.
ROWS = [(n, f"acts of {n}", "acts", "gpt-4o-mini") for n in range(24)]
ROWS += [(n, f"logits of {n}", "logits", "claude") for n in (0, 12, 20)]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of the test's own, and no key."""
    monkeypatch.setenv("FEATUREDIFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NEURONPEDIA_API_KEY", raising=False)
    return tmp_path / "cache" / "explanations" / SOURCE


@pytest.fixture
def api():
    server = FakeApi()
    yield server
    server.stop()


@pytest.fixture
def exports():
    server = FakeExports()
    yield server
    server.stop()


@pytest.fixture
def servers(api, exports):
    return Servers.at(api.url, exports.url, pause=0.01)


@pytest.fixture
def source_dir(tmp_path):
    """A source of 24 features in a results tree."""
    return make_source(tmp_path / "results" / LINKED / "personal_40", num_features=24, **LINKED_SAE)


@pytest.fixture
def study(source_dir):
    return load(source_dir)


def kept(study, thresholds=None):
    return sorted(set(study.table(thresholds)["feature_id"]))


def explain_kept(study, thresholds=None, **options):
    """Get the explanations of the kept features, as the command does."""
    return explain(study.pages, kept(study, thresholds), **options)


def said(explained):
    """The rows as tuples; missing is None."""
    rows = explained.rows.astype(object).where(explained.rows.notna(), None)
    return list(rows.itertuples(index=False, name=None))


def refuses(message):
    return pytest.raises(DataError, match=f"^{re.escape(message)}$")


def features(study):
    return [f"/api/feature/{SOURCE}/{n}" for n in kept(study)]


# ----------------------------------------------------------------------------
# Bulk files.


def test_bulk_files_explain_the_kept_features(study, servers, api, exports):
    exports.put(SOURCE, ROWS, size=6)
    explained = explain_kept(study, servers=servers)
    assert exports.asked() == ["/", *BATCHES]
    assert api.asked() == []
    assert explained.rows.columns.tolist() == COLUMNS
    expected = []
    for n in kept(study):
        if n in (0, 12, 20):
            expected.append((n, f"logits of {n}", "logits", "claude", f"{PAGE}{n}"))
        expected.append((n, f"acts of {n}", "acts", "gpt-4o-mini", f"{PAGE}{n}"))
    assert 6 not in kept(study)
    assert said(explained) == expected
    assert (explained.explained, explained.wanted, explained.unasked) == (len(kept(study)), len(kept(study)), 0)


def test_the_list_of_files_has_pages_other_folders_and_other_files(study, servers, exports):
    exports.put(SOURCE, ROWS[:12], size=2)
    exports.put(SOURCE, ROWS[12:], size=20, folder="explanations-gpt-4o-mini")
    exports.put(SOURCE, ROWS, folder="activations")
    exports.put(f"{SOURCE}__l0-34", ROWS)
    exports.bodies[f"{FOLDER}/notes.txt"] = b"not a batch"
    exports.page_size = 3
    explained = explain_kept(study, servers=servers)
    asked = exports.asked()
    assert asked[:3] == ["/", "/", "/"]
    other = f"/v1/{SOURCE}/explanations-gpt-4o-mini/batch-0.jsonl.gz"
    assert asked[3:] == [*(f"{FOLDER}/batch-{n}.jsonl.gz" for n in range(6)), other]
    assert explained.explained == len(kept(study))


def test_batch_2_comes_before_batch_10(study, servers, exports):
    exports.put(SOURCE, ROWS, size=2)
    explain_kept(study, servers=servers)
    assert exports.asked()[1:] == [f"{FOLDER}/batch-{n}.jsonl.gz" for n in range(14)]


def test_what_is_kept_on_disk_has_no_embeddings(study, servers, exports, cache):
    exports.put(SOURCE, ROWS, size=30)
    explain_kept(study, servers=servers)
    (file,) = cache.iterdir()
    assert file.name.startswith("explanations-0-")
    assert json.loads(file.read_text())[:2] == [
        [0, "acts of 0", "acts", "gpt-4o-mini"],
        [0, "logits of 0", "logits", "claude"],
    ]
    assert file.stat().st_size < 27 * 80


def test_a_second_run_asks_for_nothing(study, servers, exports):
    exports.put(SOURCE, ROWS, size=6)
    first = explain_kept(study, servers=servers)
    exports.asked()
    assert said(explain_kept(study, servers=servers)) == said(first)
    assert exports.asked() == []


def test_a_run_that_was_cut_short_goes_on_where_it_was(study, servers, exports, cache):
    exports.put(SOURCE, ROWS, size=6)
    exports.faults[BATCHES[2]] = [Fault(cut=True)] * 7
    message = f"{exports.url} cannot be reached, or not for long enough (ProtocolError). Is there a network? {KEEPS}"
    with refuses(message):
        explain_kept(study, servers=servers)
    assert exports.asked() == ["/", *BATCHES[:2], *[BATCHES[2]] * 7]
    assert len(list(cache.iterdir())) == 2
    explained = explain_kept(study, servers=servers)
    assert exports.asked() == ["/", *BATCHES[2:]]
    assert explained.explained == explained.wanted


@pytest.mark.parametrize("fault", ["cut", "half a file that is as long as announced", "another file"])
def test_half_a_file_is_asked_for_again(study, servers, exports, fault):
    exports.put(SOURCE, ROWS, size=6)
    whole = exports.bodies[BATCHES[1]]
    bodies = {"cut": None, "another file": b"\x1f\x8b\x08\x00" + bytes(50)}
    exports.faults[BATCHES[1]] = [Fault(cut=fault == "cut", body=bodies.get(fault, whole[: len(whole) // 2]))]
    explained = explain_kept(study, servers=servers)
    assert exports.asked().count(BATCHES[1]) == 2
    assert explained.explained == explained.wanted


def test_a_file_that_stays_damaged_is_not_kept(study, servers, exports, cache):
    exports.put(SOURCE, ROWS, size=30)
    exports.bodies[BATCHES[0]] = exports.bodies[BATCHES[0]][:-20]
    with refuses(f"{exports.url}{BATCHES[0]} is cut short or damaged, 7 times in a row. {KEEPS}"):
        explain_kept(study, servers=servers)
    assert not cache.exists()


def test_a_new_state_of_the_files_replaces_the_old(study, servers, exports, cache):
    exports.put(SOURCE, [row for row in ROWS if row[0] != 1], size=30)
    assert explain_kept(study, servers=servers).unasked == 1
    exports.put(SOURCE, [(n, f"newer {text}", *rest) for n, text, *rest in ROWS], size=30)
    explained = explain_kept(study, servers=servers)
    assert all(row[1].startswith("newer ") for row in said(explained))
    assert len(list(cache.iterdir())) == 1


def test_files_that_are_not_zipped_are_read_too(study, servers, exports):
    exports.bodies[BATCHES[0]] = b'{"index": 0, "description": "plain"}\n'
    assert said(explain_kept(study, servers=servers)) == [(0, "plain", None, None, f"{PAGE}0")]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("[1]", "b'[1]'"),
        ('{"description": "x"}', """b'{"description": "x"}'"""),
        ("{", "b'{'"),
        ('{"index": "x"}', """b'{"index": "x"}'"""),
        ('{"index": 1e999}', """b'{"index": 1e999}'"""),
        ("[" * 100_000, f"b'{'[' * 77}…"),
    ],
)
def test_lines_of_another_format(study, servers, exports, cache, line, shown):
    """An index of 1e999 was an OverflowError, and brackets in brackets a RecursionError."""
    exports.bodies[BATCHES[0]] = f'{{"index": "0", "description": "x"}}\n{line}\n'.encode()
    with refuses(f"{exports.url}{BATCHES[0]}: line 2 is not an object with an `index`, but {shown}."):
        explain_kept(study, servers=servers)
    assert not cache.exists()


def test_a_file_that_is_gone_and_a_list_that_is_none(study, servers, exports):
    exports.put(SOURCE, ROWS, size=30)
    exports.faults[BATCHES[0]] = [Fault(status=404)]
    with refuses(f"{exports.url}{BATCHES[0]} is gone since it was listed. Run the same command again."):
        explain_kept(study, servers=servers)
    exports.faults["/"] = [Fault(body=b"<html>")]
    message = f"{exports.url} does not list its files as S3 does (XML, no element found: line 1, column 6)."
    with refuses(message):
        explain_kept(study, servers=servers)
    exports.faults["/"] = [Fault(status=403)]
    url = f"{exports.url}/?list-type=2&prefix=v1%2F{SOURCE.replace('/', '%2F')}%2Fexplanations"
    with refuses(f"{url} answers 403 Forbidden, but expected 200. {KEEPS}"):
        explain_kept(study, servers=servers)


# ----------------------------------------------------------------------------
# The API.


def test_the_api_explains_feature_by_feature(study, servers, api, exports):
    for n in kept(study):
        api.put(SOURCE, n, (f"best of {n}", "acts", "claude"), (f"worse of {n}", "acts", "gpt-4o-mini"))
    explained = explain_kept(study, via="api", servers=servers)
    assert exports.asked() == []
    assert api.asked() == features(study)
    last = {row[0]: row for row in said(explained)}
    assert list(last.values()) == [(n, f"best of {n}", "acts", "claude", f"{PAGE}{n}") for n in kept(study)]
    assert len(explained.rows) == 2 * len(last)
    explain_kept(study, via="api", servers=servers)
    assert api.asked() == []


def test_features_that_the_api_does_not_know_are_asked_for_once(study, servers, api):
    api.put(SOURCE, 0, ("of 0", "acts", "claude"))
    api.put(SOURCE, 1)
    api.put(SOURCE, 2, (" ", "acts", "claude"), (None, "acts", "claude"))
    api.faults[features(study)[3]] = [Fault(status=404)]
    explained = explain_kept(study, via="api", servers=servers)
    assert (explained.explained, explained.wanted, explained.unasked) == (1, len(kept(study)), 0)
    api.asked()
    explain_kept(study, via="api", servers=servers)
    explain_kept(study, servers=servers)
    assert api.asked() == []


def test_a_run_over_the_api_goes_on_where_it_was(study, servers, api):
    for n in kept(study):
        api.put(SOURCE, n, ("x", "acts", "claude"))
    api.faults[features(study)[4]] = [Fault(status=503)] * 7
    url = f"{api.url}{features(study)[4]}"
    with refuses(f"{url} answers 503 Service Unavailable, but expected 200. {KEEPS}"):
        explain_kept(study, via="api", servers=servers)
    api.asked()
    explain_kept(study, via="api", servers=servers)
    assert api.asked() == features(study)[4:]


@pytest.mark.parametrize(
    "body", ["[1]", "7", "{}1", '{"explanations": null}', '{"modelId": 1}', '{"explanations": [1]}']
)
def test_answers_of_another_format(study, servers, api, cache, body):
    api.faults[features(study)[0]] = [Fault(body=body.encode())]
    message = f"{api.url}{features(study)[0]} is not an object with a list of `explanations`, but {body.encode()!r}."
    with refuses(message):
        explain_kept(study, via="api", servers=servers)
    assert not cache.exists()


def test_texts_of_strangers_arrive_as_they_are(study, servers, api):
    texts = ['a, "b"\nc', "=1+1", "<b>漢字</b>", "null", " x ", "a\ud800b"]
    for n, text in zip(kept(study), texts, strict=False):
        api.put(SOURCE, n, (text, "a,b", "c\td"))
    explained = explain_kept(study, via="api", servers=servers)
    assert [row[1] for row in said(explained)] == [*texts[:-1], "a?b"]
    csv = explained.rows.to_csv(index=False).encode()
    assert parse_explanations(csv, "x.csv").texts.tolist() == [*texts[:-1], "a?b"]


# ----------------------------------------------------------------------------
# Which way.


def test_auto_takes_the_way_of_fewer_requests(study, servers, api, exports):
    exports.put(SOURCE, [row for row in ROWS if row[0] not in (1, 2)], size=3)
    first = explain_kept(study, servers=servers)  # 9 files for 21 features
    assert len(kept(study)) == 21
    assert [path for path in exports.asked() if path != "/"] == [f"{FOLDER}/batch-{n}.jsonl.gz" for n in range(9)]
    assert first.unasked == 2
    explain_kept(study, servers=servers)  # no file left to read
    assert (api.asked(), exports.asked()) == ([], ["/"])
    exports.put(SOURCE, ROWS, size=3)  # all files are new: more than two
    api.put(SOURCE, 1, ("of 1", "acts", "claude"))
    explained = explain_kept(study, servers=servers)
    assert api.asked() == [f"/api/feature/{SOURCE}/1", f"/api/feature/{SOURCE}/2"]
    assert exports.asked() == ["/"]
    assert explained.unasked == 0
    assert explained.explained == explained.wanted - 1


def test_as_many_files_as_features_are_read(study, servers, api, exports):
    exports.put(SOURCE, [(n, "x", "acts", "m") for n in range(len(kept(study)))], size=1)
    explain_kept(study, servers=servers)
    assert api.asked() == []
    assert len(exports.asked()) == 1 + len(kept(study))


def test_one_file_more_than_features_and_the_api_is_asked(study, servers, api, exports):
    exports.put(SOURCE, [(n, "x", "acts", "m") for n in range(len(kept(study)) + 1)], size=1)
    explain_kept(study, servers=servers)
    assert api.asked() == features(study)
    assert exports.asked() == ["/"]


def test_a_text_that_comes_twice_is_written_once_and_the_apis_best_counts(study, servers, api, exports):
    for n in kept(study):
        api.put(SOURCE, n, (f"best of {n}", "acts", "claude"), (f"worse of {n}", "acts", "claude"))
    explain_kept(study, Thresholds(Threshold(5)), via="api", servers=servers)
    asked = api.asked()
    rows = [(n, f"{word} of {n}", "acts", "claude") for n in kept(study) for word in ("best", "worse")]
    exports.put(SOURCE, rows, size=20)
    exports.put(SOURCE, rows, size=50, folder="explanations-claude")
    explained = explain_kept(study, via="bulk", servers=servers)
    assert 2 < len(asked) < len(kept(study))
    assert len(explained.rows) == len(rows)
    last = {row[0]: row[1] for row in said(explained)}
    assert all(last[n] == f"best of {n}" for n in kept(study) if f"/api/feature/{SOURCE}/{n}" in asked)


def test_a_source_without_bulk_files(study, servers, api):
    with refuses(f"Neuronpedia has no bulk files of explanations for {SOURCE}. Leave out --via, or say --via api."):
        explain_kept(study, via="bulk", servers=servers)
    explain_kept(study, servers=servers)
    assert api.asked() == features(study)


def test_other_thresholds_keep_other_features(study, servers, exports):
    exports.put(SOURCE, ROWS, size=30)
    thresholds = Thresholds(Threshold(5))
    explained = explain_kept(study, thresholds, servers=servers)
    assert explained.wanted == study.table(thresholds)["feature_id"].nunique() < len(kept(study))
    assert set(explained.rows["feature_id"]) == set(study.table(thresholds)["feature_id"])


# ----------------------------------------------------------------------------
# Types.


def test_the_most_frequent_type_counts_unless_types_are_named(study, servers, exports):
    exports.put(SOURCE, ROWS, size=30)
    of_0 = [row[2] for row in said(explain_kept(study, servers=servers)) if row[0] == 0]
    assert of_0 == ["logits", "acts"]
    of_0 = [row[2] for row in said(explain_kept(study, types=["logits", "acts"], servers=servers)) if row[0] == 0]
    assert of_0 == ["acts", "logits"]
    only = explain_kept(study, types=["logits"], servers=servers)
    assert set(only.rows["type"]) == {"logits"}
    assert set(only.rows["feature_id"]) == {0, 12, 20} & set(kept(study))
    assert only.unasked == 0


def test_a_type_that_does_not_occur(study, servers, exports):
    exports.put(SOURCE, ROWS, size=30)
    message = "None of these features has an explanation of type 'act', 'x'. There are: 'acts', 'logits'."
    with refuses(message):
        explain_kept(study, types=["acts", "act", "x"], servers=servers)


def test_texts_without_a_type_come_first(study, servers, api):
    api.put(SOURCE, 0, ("typed", "acts", "claude"), ("untyped", None, None))
    assert [row[1:4] for row in said(explain_kept(study, via="api", servers=servers))] == [
        ("untyped", None, None),
        ("typed", "acts", "claude"),
    ]


# ----------------------------------------------------------------------------
# Manners.


def test_the_key_goes_to_the_api_only(study, api, exports, monkeypatch):
    monkeypatch.setenv("NEURONPEDIA_API_KEY", " secret\n")
    servers = Servers.at(api.url, exports.url)
    exports.put(SOURCE, ROWS[:3], size=30)
    explain_kept(study, servers=servers)
    explain_kept(study, via="api", servers=servers)
    assert {headers.get("x-api-key") for headers in api.headers} == {"secret"}
    assert {headers.get("x-api-key") for headers in exports.headers} == {None}
    assert all(headers["User-Agent"].startswith("featurediff/") for headers in api.headers + exports.headers)


def test_a_redirect_is_not_followed(study, api, exports, monkeypatch):
    monkeypatch.setenv("NEURONPEDIA_API_KEY", "secret")
    api.faults[features(study)[0]] = [Fault(status=302, Location=f"{exports.url}/elsewhere")]
    with refuses(f"{api.url}{features(study)[0]} answers 302 Found, but expected 200. {KEEPS}"):
        explain_kept(study, via="api", servers=Servers.at(api.url, exports.url))
    assert exports.asked() == []


@pytest.mark.parametrize("key", ["a\nb", "schlüssel"])
def test_a_key_that_is_none(monkeypatch, key):
    monkeypatch.setenv("NEURONPEDIA_API_KEY", key)
    with refuses("The environment variable NEURONPEDIA_API_KEY holds characters that a key does not have."):
        Servers.at()


def test_one_connection_to_each_server(study, servers, api, exports):
    exports.put(SOURCE, ROWS[:5], size=1)
    explain_kept(study, servers=servers)
    explain_kept(study, via="api", servers=servers)
    assert exports.asked() == ["/", *BATCHES]
    assert api.asked() == [f"/api/feature/{SOURCE}/{n}" for n in kept(study) if n > 4]
    assert (api.connections, exports.connections) == (1, 1)


def test_waits_as_long_as_it_is_told(study, servers, api):
    api.put(SOURCE, kept(study)[0], ("x", "acts", "claude"))
    api.faults[features(study)[0]] = [Fault(status=429, Retry_After="1", body=b'{"error": "Too many requests"}')]
    begun = time.monotonic()
    assert explain_kept(study, via="api", servers=servers).explained == 1
    assert 1 <= time.monotonic() - begun < 20
    assert api.asked() == [features(study)[0], *features(study)]


def test_waits_longer_each_time_where_it_is_not_told(study, api, exports):
    for path in features(study)[:2]:
        api.faults[path] = [Fault(status=429)] * 3
    begun = time.monotonic()
    explain_kept(study, via="api", servers=Servers.at(api.url, exports.url, pause=0.1))
    assert 2 * (0.1 + 0.2 + 0.4) <= time.monotonic() - begun < 20


def test_does_not_sit_through_an_hour(study, servers, api):
    api.faults[features(study)[2]] = [Fault(status=429, Retry_After="3600")]
    with refuses(f"Neuronpedia asks to wait 3,600 seconds. {KEEPS}"):
        explain_kept(study, via="api", servers=servers)
    assert api.asked() == features(study)[:3]


def test_gives_up_after_seven_answers_429(study, servers, api):
    api.faults[features(study)[0]] = [Fault(status=429)] * 8
    url = f"{api.url}{features(study)[0]}"
    with refuses(f"{url} answers 429 Too Many Requests, but expected 200. {KEEPS}"):
        explain_kept(study, via="api", servers=servers)
    assert api.asked() == [features(study)[0]] * 7


def test_a_server_that_is_not_there(study, exports):
    gone = FakeApi()
    gone.stop()
    message = f"{gone.url} cannot be reached, or not for long enough (NewConnectionError). Is there a network? {KEEPS}"
    with refuses(message):
        explain_kept(study, via="api", servers=Servers.at(gone.url, exports.url, pause=0.001))


def test_goes_through_the_proxy_of_the_environment(study, api, exports, monkeypatch):
    api.put(SOURCE, 0, ("of 0", "acts", "claude"))
    api.bodies = {f"http://neuronpedia.invalid{path}": body for path, body in api.bodies.items()}
    monkeypatch.setenv("http_proxy", api.url)
    monkeypatch.delenv("no_proxy", raising=False)
    api.answer = lambda path, query: FakeApi.answer(api, f"http://neuronpedia.invalid{path}", query)
    servers = Servers.at("http://neuronpedia.invalid", exports.url)
    assert explain_kept(study, via="api", servers=servers).explained == 1
    assert api.headers[0]["Host"] == "neuronpedia.invalid"


# ----------------------------------------------------------------------------
# What cannot be explained, and where answers are kept.


def test_saes_without_a_page(tmp_path, servers):
    study = load(make_source(tmp_path / "results" / "mistral_trainer8x_layer3" / "p"))
    message = f"No Neuronpedia page is known for this SAE, so there are no explanations to get. {study.pages.reason}"
    with refuses(message):
        explain_kept(study, servers=servers)


@pytest.mark.parametrize(
    "template", ["https://example.org/{feature_id}", "https://www.neuronpedia.org/a/../{feature_id}"]
)
def test_pages_elsewhere(source_dir, servers, template):
    message = (
        "Explanations come from https://www.neuronpedia.org/modelId/sourceId/{feature_id}, "
        f"but the SAE's page is {template}."
    )
    with refuses(message):
        explain_kept(load(source_dir, template=template), servers=servers)


def test_a_users_page_on_neuronpedia(source_dir, servers, api):
    study = load(source_dir, template="http://neuronpedia.org/gpt2-small/6-res-jb/{feature_id}")
    api.put("gpt2-small/6-res-jb", 0, ("of 0", "acts", "claude"))
    rows = said(explain_kept(study, via="api", servers=servers))
    assert rows == [(0, "of 0", "acts", "claude", "http://neuronpedia.org/gpt2-small/6-res-jb/0")]


def test_a_damaged_cache_is_named(study, servers, cache):
    cache.mkdir(parents=True)
    (cache / "feature-0.json").write_text("[[0, ")
    with refuses(f"`{cache}/feature-0.json` is damaged. Delete it, and run the same command again."):
        explain_kept(study, servers=servers)


def test_an_answer_that_cannot_be_read_is_not_called_damaged(study, servers, cache):
    """The error of reading was taken for one in the answer, and a person told to delete it."""
    (cache / "feature-0.json").mkdir(parents=True)
    with refuses(f"`{cache}/feature-0.json` is not a file, but expected one here."):
        explain_kept(study, servers=servers)


@pytest.mark.parametrize("mode", [0o000, 0o555])
def test_answers_are_used_where_they_cannot_be_kept(open_folder, monkeypatch, api, exports, mode):
    """A cache folder of somebody else's, or a home that is not yours, ended in an error or a traceback."""
    monkeypatch.setenv("FEATUREDIFF_CACHE", str(open_folder / "cache"))
    source = make_source(open_folder / "results" / LINKED / "p", num_features=24, **LINKED_SAE)
    study = load(source)
    exports.put(SOURCE, [row for row in ROWS if row[0] != 1], size=6)
    api.put(SOURCE, 1, ("of 1", "acts", "claude"))
    (open_folder / "cache").mkdir()
    (open_folder / "cache").chmod(mode)
    servers = Servers.at(api.url, exports.url, pause=0.01)
    with as_nobody():
        explained = explain_kept(study, via="bulk", servers=servers)
        assert explained.explained == explained.wanted - 1
        explained = explain_kept(study, via="api", servers=servers)
        assert explained.explained == 1
        exports.faults[BATCHES[2]] = [Fault(status=403)]
        with pytest.raises(
            DataError, match=r"403 .* What was received is lost: `.*` cannot be (read|written) \(Permission"
        ):
            explain_kept(study, via="bulk", servers=servers)
    assert re.match(r"`.*/cache/.*` cannot be (read|written) \(Permission denied\)\.", explained.not_kept)


def test_what_others_keep_and_may_not_be_read_is_asked_for_again(open_folder, monkeypatch, exports):
    monkeypatch.setenv("FEATUREDIFF_CACHE", str(open_folder))
    source = make_source(open_folder / "results" / LINKED / "p", num_features=24, **LINKED_SAE)
    study = load(source)
    exports.put(SOURCE, ROWS, size=30)
    assert explain_kept(study, servers=Servers.at("http://127.0.0.1:9", exports.url)).not_kept is None
    (file,) = (open_folder / "explanations" / SOURCE).iterdir()
    file.chmod(0o600)
    exports.asked()
    with as_nobody():
        explained = explain_kept(study, servers=Servers.at("http://127.0.0.1:9", exports.url))
    assert BATCHES[0] in exports.asked()
    assert explained.explained == explained.wanted
    assert "cannot be" in explained.not_kept


def test_the_command_says_that_answers_are_not_kept(command, exports, tmp_path, monkeypatch):
    monkeypatch.setenv("FEATUREDIFF_CACHE", str(tmp_path / "file" / "cache"))
    (tmp_path / "file").write_text("not a folder")
    exports.put(SOURCE, ROWS, size=30)
    assert re.search(
        r"Note: the answers are not kept for the next run\. `.*` cannot be written \(Not a directory\)\.",
        command().stderr,
    )
    assert (tmp_path / "explanations" / f"{LINKED}.csv").is_file()


def test_a_home_that_is_not_known(study, monkeypatch):
    monkeypatch.setenv("FEATUREDIFF_CACHE", "~nobody-has-this-name/cache")
    with refuses(
        "The environment variable FEATUREDIFF_CACHE is '~nobody-has-this-name/cache', but whose home that is, is not "
        "known."
    ):
        explain_kept(study)


def test_answers_are_kept_in_the_users_cache_folder(study, servers, tmp_path, monkeypatch):
    monkeypatch.delenv("FEATUREDIFF_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home" / ".cache"))
    explain_kept(study, via="api", servers=servers)
    (folder,) = (tmp_path / "home").rglob(SOURCE)
    assert folder.parts[-4:] == ("featurediff", "explanations", *SOURCE.split("/"))
    assert len(list(folder.iterdir())) == len(kept(study))


# ----------------------------------------------------------------------------
# The command.


@pytest.fixture
def command(source_dir, api, exports):
    """Run the command on the source."""

    def run(*words):
        hosts = ["--api", api.url, "--exports", exports.url]
        result = CliRunner().invoke(app, ["explain", str(source_dir), *map(str, words), *hosts])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def last_lines(result, count):
    return [" ".join(line.split()) for line in result.stderr.splitlines()[-count:]]


def test_the_command_writes_where_the_dashboard_looks(command, source_dir, exports, tmp_path):
    exports.put(SOURCE, [row for row in ROWS if row[0] != 1], size=6)
    result = command()
    path = tmp_path / "explanations" / f"{LINKED}.csv"
    count = len(kept(load(source_dir)))
    assert last_lines(result, 3) == [
        f"{path}: {count + 2} explanations",
        f"{count - 1} of {count} kept features have an explanation.",
        "The API may know 1 that the bulk files lack: --via api asks for each.",
    ]
    assert result.stdout == ""
    assert pd.read_csv(path).columns.tolist() == COLUMNS
    table = load(source_dir).table()
    of_12 = table[table["feature_id"] == 12].iloc[0]
    assert tuple(of_12[["explanation", "explanation_type", "explanation_model"]]) == (
        "acts of 12",
        "acts",
        "gpt-4o-mini",
    )
    of_1 = table.loc[table["feature_id"] == 1, ["token_type", "explanation"]]
    assert of_1["token_type"].tolist() == ["model", "newline"]
    assert of_1["explanation"].isna().all()


def test_another_prompt_set_of_the_sae_adds_to_the_file(command, source_dir, exports, tmp_path):
    exports.put(SOURCE, ROWS, size=6)
    path = tmp_path / "explanations" / f"{LINKED}.csv"
    command("--min-target", "5")
    some = pd.read_csv(path)
    path.write_text(path.read_text() + "6,by hand,mine,,\n")
    result = command("--type", "logits", "--type", "acts")
    assert last_lines(result, 2) == [f"{path}: 24 explanations", "21 of 21 kept features have an explanation."]
    rows = pd.read_csv(path)
    assert rows["feature_id"].is_monotonic_increasing
    assert set(rows["feature_id"]) == {*kept(load(source_dir)), 6} > set(some["feature_id"])
    assert rows.loc[rows["feature_id"] == 12, "type"].tolist() == ["acts", "logits"]
    assert rows.loc[rows["feature_id"] == 6, "explanation"].tolist() == ["by hand"]
    before = path.read_bytes()
    command("--min-target", "5", "--type", "logits", "--type", "acts")
    assert path.read_bytes() == before


def test_a_file_of_somebody_else_is_not_touched(command, exports, tmp_path):
    exports.put(SOURCE, ROWS, size=6)
    path = make_explanations(tmp_path / "explanations" / f"{LINKED}.csv")
    before = path.read_bytes()
    message = (
        f"`{path}` is there already, and was not written by `featurediff explain`. "
        f"Write beside it with --out {path.with_suffix('.neuronpedia.csv')}, or replace it with --force."
    )
    with refuses(message):
        command()
    assert exports.asked() == []
    assert path.read_bytes() == before
    out = tmp_path / "new" / "mine.csv"
    command("--out", out)
    assert path.read_bytes() == before
    command("--force")
    assert path.read_bytes() == out.read_bytes()


@pytest.mark.parametrize("content", [None, b'feature_id,explanation,type,model,url\n0,"cut', b"\x1f\x8b\x08"])
def test_a_file_that_cannot_be_read_is_not_touched(command, exports, tmp_path, content):
    """Reading it ended the command, which did not say where else to write."""
    exports.put(SOURCE, ROWS, size=6)
    path = tmp_path / "explanations" / f"{LINKED}.csv"
    path.parent.mkdir()
    path.mkdir() if content is None else path.write_bytes(content)
    beside = path.with_suffix(".neuronpedia.csv")
    offer = rf"Write beside it with --out {re.escape(str(beside))}, or replace it with --force\.$"
    with pytest.raises(DataError, match=rf"^`.*{offer}"):
        command()
    assert exports.asked() == []
    command("--out", beside)
    assert len(pd.read_csv(beside)) == 24
    assert content is None or path.read_bytes() == content


@pytest.mark.parametrize("link", ["file", "folder", "broken"])
def test_nothing_is_written_through_a_link(command, exports, tmp_path, link):
    exports.put(SOURCE, ROWS, size=6)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder = tmp_path / "explanations"
    path = folder / f"{LINKED}.csv"
    if link == "folder":
        folder.symlink_to(elsewhere, target_is_directory=True)
    else:
        folder.mkdir()
        path.symlink_to(elsewhere / "theirs.csv")
    if link == "file":
        (elsewhere / "theirs.csv").write_text("feature_id,explanation,type,model,url\n")
    before = {file: file.read_bytes() for file in elsewhere.iterdir()}
    named = folder if link == "folder" else path
    for words in ((), ("--force",)):
        with refuses(
            f"`{named}` is a link, and nothing is written through links. Name a file that is none with --out."
        ):
            command(*words)
    assert exports.asked() == []
    assert {file: file.read_bytes() for file in elsewhere.iterdir()} == before
    assert named.is_symlink()
    command("--out", tmp_path / "mine.csv")
    assert len(pd.read_csv(tmp_path / "mine.csv")) == 24


def test_a_place_that_may_not_be_written_to_is_refused_before_anything_is_asked_for(open_folder, exports):
    source = make_source(open_folder / "results" / LINKED / "p", num_features=24, **LINKED_SAE)
    words = ["explain", str(source), "--exports", exports.url]
    with as_nobody():
        result = CliRunner().invoke(app, words)
    assert str(result.exception) == (
        f"`{open_folder}/explanations/{LINKED}.csv` cannot be written: you may not write in `{open_folder}`. "
        "Name a file elsewhere with --out."
    )
    assert exports.asked() == []


def test_a_file_inside_the_tree_is_where_explanations_go(command, exports, tmp_path):
    exports.put(SOURCE, ROWS, size=30)
    path = tmp_path / "results" / "explanations" / f"{LINKED}.csv"
    path.parent.mkdir()
    path.write_text("feature_id,explanation,type,model,url\n")
    command()
    assert pd.read_csv(path)["explanation"].tolist().count("acts of 12") == 1
    assert len(pd.read_csv(path)) == 21 + 3
    assert not (tmp_path / "explanations").exists()


def test_a_run_that_fails_writes_nothing(command, api, tmp_path):
    api.bodies.clear()
    api.faults[f"/api/feature/{SOURCE}/0"] = [Fault(body=b"[1]")]
    with pytest.raises(DataError):
        command("--via", "api")
    assert not (tmp_path / "explanations").exists()


def test_a_source_in_no_sae_folder_needs_a_name(tmp_path, exports):
    folder = make_source(tmp_path / "lone", **LINKED_SAE)
    words = ["explain", str(folder), "--exports", exports.url]
    result = CliRunner().invoke(app, words)
    message = (
        f"`{folder}` is in no folder called {{model}}_trainer{{trainer}}_layer{{layer}}, so it has no place "
        "for explanations. Name a file with --out."
    )
    assert str(result.exception) == message
    exports.put(SOURCE, ROWS, size=30)
    assert CliRunner().invoke(app, [*words, "--out", str(tmp_path / "x.csv")]).exit_code == 0
    assert pd.read_csv(tmp_path / "x.csv")["explanation"].tolist() == [
        "logits of 0",
        *(f"acts of {n}" for n in kept(load(folder))),
    ]


def test_the_command_takes_a_page(command, api):
    api.put("gpt2-small/6-res-jb", 0, ("of 0", "acts", "claude"))
    result = command("--neuronpedia-template", "https://www.neuronpedia.org/gpt2-small/6-res-jb/{feature_id}")
    assert last_lines(result, 1) == ["1 of 21 kept features have an explanation."]
