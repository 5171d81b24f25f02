"""Progress where no terminal is: lines, neither silence nor a thousand of them."""

from leaf_embed.cli import console


def test_a_log_file_gets_a_line_now_and_then(capsys, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: clock[0])
    with console.progress_bar() as progress:
        for step in range(1, 101):
            clock[0] += 1.0
            progress("train", step, 100, f"loss {1 / step:.2f}")
        progress("teacher", 5, None, "embedded")
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[:2] for line in lines] == [["train", f"{step}/100"] for step in (31, 61, 91, 100)]
    assert lines[-1].strip() == "train 100/100 99 s  loss 0.01"


def test_a_terminal_gets_a_bar(monkeypatch):
    monkeypatch.setattr(console, "errors", console.Console(force_terminal=True, stderr=True))
    with console.progress_bar() as progress:
        progress("train", 1, 2, "")
    assert isinstance(progress, console.ProgressBar)
