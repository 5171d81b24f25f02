"""benchmarks/retention.py on tiny sets: what it writes, prints and does not do twice."""

import importlib.util
import json
from pathlib import Path

import pytest

from tests.conftest import sentences

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "retention.py"

pytestmark = pytest.mark.skipif(not SCRIPT.is_file(), reason="benchmarks are not part of the package")


@pytest.fixture(scope="module")
def retention():
    spec = importlib.util.spec_from_file_location("retention", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def data(tmp_path):
    """Two sets of thirty documents, each asked for by its own words."""
    for seed in (1, 2):
        root = tmp_path / "data" / f"set{seed}"
        (root / "qrels").mkdir(parents=True)
        for name, texts in (("corpus", sentences(30, seed)), ("queries", [t[:20] for t in sentences(30, seed)])):
            lines = [json.dumps({"_id": f"{name[0]}{i}", "text": text}) + "\n" for i, text in enumerate(texts)]
            (root / f"{name}.jsonl").write_text("".join(lines))
        (root / "qrels" / "test.tsv").write_text("".join(f"q{i}\tc{i}\t1\n" for i in range(30)))
    return tmp_path / "data"


def test_every_point_of_every_set(retention, leaf_path, data, tmp_path, capsys, monkeypatch):
    output = tmp_path / "results" / "retention.json"
    options = {"data": data, "cache": tmp_path / "cache", "output": output, "dims": "16,8", "max_queries": 20}
    options |= {"teacher": None, "variant": "auto"}
    retention.main([leaf_path], **options)
    result = json.loads(output.read_text())["leaves"][leaf_path.name]
    assert [one["name"] for one in result["sets"]] == ["set1", "set2"]
    assert [one["queries"] for one in result["sets"]] == [20, 20]
    points = {(point["dim"], point["quantization"], point["rotated"]) for point in result["mean"]}
    kinds = ("float32", "int8", "binary", "binary-rescored")
    every = {(dim, kind, rotated) for dim in (32, 16, 8) for kind in kinds for rotated in (False, True)}
    assert points == every - {(32, "float32", True)}
    modes = result["mean"][0]["modes"]
    assert modes["asymmetric"]["ratio_of_means"]["value"] == pytest.approx(
        modes["asymmetric"]["nDCG@10"] / modes["teacher"]["nDCG@10"], abs=1e-3
    )
    shares = [one["points"][0]["modes"]["asymmetric"]["retention"]["value"] for one in result["sets"]]
    assert modes["asymmetric"]["retention"]["value"] == pytest.approx(sum(shares) / 2, abs=1e-4)
    printed = capsys.readouterr().out
    assert printed.count(f"| {leaf_path.name} |") == len(points) + 1  # the column is called so too
    assert "Furthest below the teacher's curve" in printed

    monkeypatch.setattr(retention, "_measure", None)  # would fail if it were called
    retention.main([leaf_path], **options)
    assert json.loads(output.read_text())["leaves"][leaf_path.name] == result
