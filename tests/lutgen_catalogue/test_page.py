"""The page: self-contained, true to the records, and safe with whatever users write."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from rtlgrad.cli.main import main
from rtlgrad.core.errors import ConfigError, RecordError
from rtlgrad.core.files import sha256_bytes
from rtlgrad.lutgen.catalogue import collect, render, write_catalogue
from rtlgrad.lutgen.record import SourceHash
from rtlgrad.lutgen.store import load

from .small_store import Page, keep, made

EVIL = """</script><script>alert(1)</script><img src=x onerror='alert("2")'>&amp;{{data}}"""


def noise(seed, reach=9, shape=(16, 16)):
    return np.random.default_rng(seed).integers(-reach, reach + 1, shape)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Designs of unlike operands, libraries and completeness."""
    return keep(
        tmp_path / "luts",
        made("exact", np.zeros((16, 16), np.int64), area=40.0, delay=200.0),
        made("small", noise(1, 30), area=12.5, delay=120.0),
        made("middle", noise(2, 9), area=20.0, delay=150.0),
        made("worse", noise(3, 60), area=21.0, delay=90.0),
        made("foreign", noise(4, 1), area=1.0, delay=1.0, library="99" * 32),
        made("imported", noise(5), area=None, delay=None, library=""),
        made("odd", noise(6, 5, (8, 4)), signed=(True, False), area=0.5, delay=0.5),
    )


@pytest.fixture
def page(store: Path, tmp_path: Path) -> Page:
    """The page of those designs."""
    write_catalogue(store, tmp_path / "page.html")
    return Page((tmp_path / "page.html").read_text(encoding="utf-8"))


def test_nothing_is_loaded_from_elsewhere(page):
    loading = {"src", "srcset", "action", "formaction", "background", "poster", "data", "style"}
    for name, attributes in page.tags:
        assert not loading & attributes.keys(), f"<{name}> loads something"
        assert not any(key.startswith("on") for key in attributes), f"<{name}> runs something"
    assert {name for name, _ in page.tags}.isdisjoint({"iframe", "object", "embed", "base", "img"})
    assert page.named("link") == [{"rel": "icon", "href": "data:,"}]
    for link in page.named("a"):
        assert re.match(r"(#|[\w./%-]+$)", link["href"]), link
    hosts = set(re.findall(r"\bhttps?://[^/\"'` ]*", page.text))
    # The name of a vocabulary, which no browser loads.
    assert hosts <= {"http://www.w3.org"}
    assert not re.search(r"@import|url\(|\bfetch\(|XMLHttpRequest|\bimport\(", page.text)


def test_the_policy_lets_run_the_page_s_own_script_and_style_alone(page):
    policy = next(
        meta["content"] for meta in page.named("meta") if meta.get("http-equiv") is not None
    )
    assert "default-src 'none'" in policy
    for element in ("script", "style"):
        (content,) = re.findall(rf"<{element}>(.*?)</{element}>", page.text, re.S)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy


def test_the_page_can_be_read_by_machines_and_ears(page):
    assert page.named("html") == [{"lang": "en"}]
    assert "<title>Catalogue of 7 multipliers</title>" in page.text
    assert all(cell.get("scope") for cell in page.named("th"))
    identifiers = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    targets = {link["href"][1:] for link in page.named("a") if link["href"].startswith("#")}
    assert targets <= set(identifiers)


def test_the_embedded_figures_are_those_of_the_records(page, store):
    for design in page.data["designs"]:
        record = load(store / design["name"])
        for key in ("mae", "mae_pct", "wce", "mse", "ep_pct", "bias", "nmed", "mre_all_pct"):
            assert design["values"][key] == getattr(record.metrics, key)
        for key in ("area_um2", "delay_ps", "power_uw"):
            value = getattr(record.cost, key)
            assert design["values"][key] == value
            assert value is not None or design["reasons"][key] == record.cost.absent[key]
        assert design["values"]["cells"] == (sum(record.cost.cells.values()) or None)
        counts = design["histogram"]
        assert counts["zero"] + sum(counts["above"]) + sum(counts["below"]) == (
            record.table.products.size
        )
    assert len(page.data["designs"]) == 7


def test_every_figure_of_every_design_has_its_cell_in_the_table(page):
    figures = page.data["figures"]
    assert {figure["key"] for figure in figures} >= {"mae", "wce_pct", "power_uw", "cells"}
    cells = [cell for cell in page.named("td") if cell.get("data-key")]
    assert len(cells) == 7 * (len(figures) + 2)
    assert page.text.count("not available: the table was imported: no circuit") >= 2


def test_the_first_plot_compares_what_compares_and_finds_its_front(page):
    designs = page.data["designs"]
    plot = page.data["plots"][0]
    names = {designs[index]["name"] for index in plot["points"]}
    # Other operands, another cell library, no cost: each would be a false neighbour.
    assert names == {"exact", "small", "middle", "worse"}
    values = {
        index: (designs[index]["values"][plot["x"]], designs[index]["values"][plot["y"]])
        for index in plot["points"]
    }
    expected = [
        index
        for index, (x, y) in sorted(values.items(), key=lambda item: item[1])
        if not any(p <= x and q <= y and (p, q) != (x, y) for p, q in values.values())
    ]
    assert plot["front"] == expected
    assert [designs[index]["name"] for index in expected] == ["small", "middle", "exact"]


def test_errors_compare_whatever_library_the_cost_is_from(tmp_path):
    store = keep(
        tmp_path / "luts",
        *(
            made(name, noise(seed), area=None, delay=None, library=library)
            for seed, (name, library) in enumerate((("p", ""), ("q", "11" * 32), ("r", "")))
        ),
    )
    (plot,) = Page(render(collect(store, tmp_path))).data["plots"]
    assert (plot["x"], plot["y"], plot["points"]) == ("wce_pct", "mae_pct", [0, 1, 2])


def test_a_bias_counts_by_its_magnitude(tmp_path):
    low = made("low", np.full((4, 4), -8), area=1.0)
    store = keep(tmp_path, low, made("high", np.full((4, 4), 2), area=1.0))
    by_name = {entry.name: entry for entry in collect(store, tmp_path).entries}
    assert by_name["low"].values["bias"] == -8.0
    assert by_name["low"].axis_value("bias") > by_name["high"].axis_value("bias")


def test_what_users_write_stays_text(tmp_path):
    name = "mul<img onerror=alert(3)>&'\""
    design = made(name, noise(1), title=EVIL, citation=EVIL, warnings=(EVIL,))
    store = keep(tmp_path / "<script>", design)
    clean = Page(render(collect(keep(tmp_path / "luts", made("plain", noise(1))), tmp_path)))
    page = Page(render(collect(store, tmp_path)))
    assert {tag for tag, _ in page.tags} - {tag for tag, _ in clean.tags} <= {"strong", "ul", "li"}
    assert len(page.named("script")) == len(clean.named("script")) == 2
    assert page.words.count(EVIL) == 3
    assert page.data["designs"][0]["name"] == name
    assert page.data["designs"][0]["anchor"] == "number-1"


def test_a_damaged_record_costs_itself_alone(store, tmp_path, monkeypatch, capsys):
    (store / "small" / "record.json").write_text('{"schema": 1, "name": "<b>"}')
    (store / "worse" / "table.npy").write_bytes(b"not a table")
    out = tmp_path / "out" / "page.html"
    monkeypatch.setattr(
        "sys.argv", ["rtlgrad", "catalogue", "--store", str(store), "--out", str(out)]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (0, None)
    page = Page(out.read_text(encoding="utf-8"))
    names = [design["name"] for design in page.data["designs"]]
    assert names == ["exact", "foreign", "imported", "middle", "odd"]
    said = capsys.readouterr()
    for name in ("small", "worse"):
        assert f"left out {name}: " in said.err
        assert name in page.words
    assert f"{out}: 5 designs" in said.out


def test_a_store_without_a_readable_record_is_an_error(tmp_path, store):
    for empty in (tmp_path / "nothing", tmp_path):
        with pytest.raises(ConfigError, match="no characterized design") as error:
            collect(empty, tmp_path)
        assert "rtlgrad lut" in str(error.value)
    for record in store.glob("*/record.json"):
        record.write_text("{}")
    with pytest.raises(RecordError, match="none of the 7 records"):
        collect(store, tmp_path)


def test_links_lead_from_the_page_to_record_and_source(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("my rtl")
    folder.mkdir()
    (folder / "top#1.v").write_text("top")
    (folder / "cells.vh").write_text("cells, edited since")
    sources = (
        SourceHash("my rtl/top#1.v", sha256_bytes(b"top")),
        SourceHash("cells.vh", sha256_bytes(b"cells")),
        SourceHash("gone.vh", sha256_bytes(b"gone")),
    )
    store = keep(Path("out/luts"), made("linked", noise(1), sources=sources))
    out = Path("pages/deep/page.html")
    (entry,) = write_catalogue(store, out).entries
    assert [link.state for link in entry.sources] == ["unchanged", "changed", "not found"]
    page = Page(out.read_text(encoding="utf-8"))
    files = {link["href"] for link in page.named("a") if not link["href"].startswith("#")}
    reached = {(out.parent / unquote(href)).resolve() for href in files}
    expected = (store / "linked" / "record.json", folder / "top#1.v", folder / "cells.vh")
    assert reached == {path.resolve() for path in expected}
    assert "gone.vh (not found from here)" in page.words


def test_the_same_store_gives_the_same_page(store, tmp_path):
    assert render(collect(store, tmp_path)) == render(collect(store, tmp_path))


def test_the_page_stays_small(tmp_path):
    worst = made("noise", np.random.default_rng(0).integers(-30000, 30001, (256, 256)))
    plain = made("plain", np.zeros((256, 256), np.int64))
    (size, less) = (
        len(render(collect(keep(tmp_path / design.name, design), tmp_path)))
        for design in (worst, plain)
    )
    # Even of errors that do not compress at all, a hundred designs stay below 20 MB.
    assert size - less < 180_000
    assert less < 80_000
