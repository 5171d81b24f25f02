"""The style sheet of the report's page: one column on a telephone, light or dark as the reader has it."""

__all__ = ["STYLE"]

STYLE = """
:root { --ink: #1b2420; --soft: #5c6963; --line: #dbe2de; --back: #fbfcfb; --card: #fff;
  --teacher: #33415c; --asymmetric: #1a7f4b; --symmetric: #c9711a; --query: #1a7f4b; --document: #6b7fd7; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ece9; --soft: #9aa8a1; --line: #33403a; --back: #121715;
  --card: #1a211e; --teacher: #a9b8d8; --asymmetric: #4cc38a; --symmetric: #f0a04b; --query: #4cc38a;
  --document: #8d9cf0; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1160px; margin: 0 auto; padding: 24px 16px 64px; }
h1 { margin: 0; font-size: 1.6rem; overflow-wrap: anywhere; }
h2 { margin: 40px 0 8px; font-size: 1.15rem; }
h3 { margin: 20px 0 4px; font-size: 1rem; overflow-wrap: anywhere; }
h4 { margin: 0; font-size: .8rem; color: var(--soft); text-transform: uppercase; letter-spacing: .05em; }
.sub, small { color: var(--soft); font-size: .85rem; font-weight: 400; }
.sub { margin: 4px 0 16px; }
code { font-size: .85em; overflow-wrap: anywhere; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(180px, 1fr)); gap: 12px; margin: 0 0 16px;
  padding: 0; list-style: none; }
.facts li, figure { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 14px; }
.facts b { display: block; font-size: 1.7rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.facts span, .facts small { display: block; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(320px, 100%), 1fr)); gap: 12px; }
figure { margin: 0; min-width: 0; }
figcaption { font-weight: 600; margin-bottom: 8px; }
svg { display: block; width: 100%; height: auto; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 8px 0; font-size: .85rem; color: var(--soft); }
.key { display: inline-block; width: 14px; height: 10px; margin-right: 6px; border-radius: 2px; }
.key.dashed { height: 0; width: 18px; border-top: 2px dashed var(--soft); border-radius: 0; vertical-align: middle; }
.grid { stroke: var(--line); stroke-width: 1; }
.tick, .label { fill: var(--soft); font-size: 11px; }
.line { fill: none; stroke-width: 2; }
.bar { opacity: .6; }
.teacher { stroke: var(--teacher); } .asymmetric { stroke: var(--asymmetric); } .symmetric { stroke: var(--symmetric); }
.dot.teacher { fill: var(--teacher); } .dot.asymmetric { fill: var(--asymmetric); }
.dot.symmetric { fill: var(--symmetric); } .bar.query { fill: var(--query); } .bar.document { fill: var(--document); }
.key.teacher { background: var(--teacher); } .key.asymmetric { background: var(--asymmetric); }
.key.symmetric { background: var(--symmetric); } .key.query { background: var(--query); }
.key.document { background: var(--document); }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; background: var(--card); }
table { border-collapse: collapse; width: 100%; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 12px; text-align: right; white-space: nowrap; border-top: 1px solid var(--line); }
th { border-top: 0; font-weight: 600; color: var(--soft); }
.name { text-align: left; }
details { margin: 8px 0; } summary { cursor: pointer; padding: 6px 0; }
details .scroll { margin-top: 8px; }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(320px, 100%), 1fr)); gap: 8px 24px; }
ol { margin: 4px 0; padding-left: 22px; font-size: .88rem; } li { overflow-wrap: anywhere; }
.relevant { color: var(--asymmetric); font-weight: 600; }
"""
